/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tree - where a release tree is, and what lies where in it.
 *
 * A tree is relocatable: its root is found from where the program stands.
 * What `make install` laid has its root at PREFIX and its configuration in
 * /etc/iorio, whose paths are absolute.
 * Shape:   texts with their NUL; what does not fit is cut, and then not there.
 * Thread:  any.
 */
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include <stddef.h>

#define TREE_SYSTEM_CONF "/etc/iorio/iorio.conf"

/* The root of the tree that this program stands in: ROOT/bin, ROOT/sbin. */
void tree_root(char *out, size_t n);

/* Where the configuration is: ROOT/etc/iorio.conf, or else the system's. */
void tree_conf(const char *root, char *out, size_t n);

/* PATH as the configuration has it; a relative one begins at ROOT. */
void tree_path(const char *root, const char *path, char *out, size_t n);

#endif
