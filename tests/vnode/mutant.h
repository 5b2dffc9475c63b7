/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* mutant - a test that is to have a bug and to find it (vnode/mutants.h). */
#ifndef TESTS_VNODE_MUTANT_H
#define TESTS_VNODE_MUTANT_H

/* The one that IORIO_MUTANT names; nothing where there are none. */
void mutant_take(void);

#endif
