/* Memory of objects that changes hands between interpreters.  See rawmemory.h. */

#include "Python.h"
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_obmalloc.h"      // struct _obmalloc_state
#include "pycore_pymem.h"         // _PyMem_GetCurrentAllocatorName()
#include "pycore_pystate.h"       // _PyInterpreterState_GET()
#include "rawmemory.h"

static int
is_allocator(const char *name)
{
    const char *current = _PyMem_GetCurrentAllocatorName();
    return current != NULL && strcmp(current, name) == 0;
}

int
_PyRawMemory_IsGood(void)
{
    Py_BUILD_ASSERT(_PyRawMemory_LARGEST_SMALL == SMALL_REQUEST_THRESHOLD);
    return is_allocator("pymalloc") || is_allocator("malloc");
}

/* Those who share the count share the GIL. */
static void
count(Py_ssize_t n)
{
    if (is_allocator("pymalloc")) {
        _PyInterpreterState_GET()->obmalloc->mgmt.raw_allocated_blocks += n;
    }
}

void
_PyRawMemory_Take(void)
{
    count(1);
}

void
_PyRawMemory_Give(void)
{
    count(-1);
}
