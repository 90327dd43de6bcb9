/* For tests/test_extension_unloading.py: plainext, under another name, as one that has to be
   kept. */

#define KEPT
#define PyInit_plainext PyInit_keptext
#include "plainext.c"
