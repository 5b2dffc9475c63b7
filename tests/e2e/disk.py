# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small disks of their own: mounted, filled, frozen."""
import os
import subprocess
import tempfile

import tap


def sh(*args):
    p = subprocess.run(args, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    return p.returncode, p.stdout


class Disk:
    """A tmpfs or an ext4 in a file, as long as the `with` lasts."""

    def __init__(self, kind, mib):
        self.kind, self.mib = kind, mib
        self.path = tempfile.mkdtemp(prefix="iorio-disk-")
        self.image = self.path + ".img"
        self.frozen = False

    def __enter__(self):
        if self.kind == "tmpfs":
            code, out = sh("mount", "-t", "tmpfs", "-o",
                           f"size={self.mib}m", "tmpfs", self.path)
        else:
            with open(self.image, "wb") as f:
                f.truncate(self.mib << 20)
            code, out = sh("mkfs.ext4", "-q", "-m", "0", "-F", self.image)
            if code == 0:
                code, out = sh("mount", "-o", "loop", self.image, self.path)
        if code:
            self.remove()
            raise tap.Skip(f"no {self.kind} can be mounted here: "
                           + out.strip().splitlines()[-1])
        return self

    def __exit__(self, *_):
        self.thaw()
        sh("umount", self.path)
        self.remove()

    def remove(self):
        os.rmdir(self.path)
        if os.path.exists(self.image):
            os.unlink(self.image)

    def free(self):
        st = os.statvfs(self.path)
        return st.f_bavail * st.f_frsize

    def fill(self, leave=0):
        """Takes all room but LEAVE bytes, as somebody else's file."""
        with open(self.path + "/filler", "ab", 0) as f:
            while (n := min(1 << 20, self.free() - leave)) > 0:
                try:
                    f.write(bytes(n))
                except OSError:
                    return

    def clear(self):
        os.unlink(self.path + "/filler")

    def freeze(self):
        """Writes hang from now on."""
        if sh("fsfreeze", "-f", self.path)[0]:
            raise tap.Skip("fsfreeze does not work here")
        self.frozen = True

    def thaw(self):
        if self.frozen:
            sh("fsfreeze", "-u", self.path)
        self.frozen = False
