/* Memory of objects that changes hands between interpreters.  See rawmemory.h. */

#include "Python.h"
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_obmalloc.h"      // struct _obmalloc_state
#include "pycore_pymem_init.h"    // _PyMem_RawMalloc()
#include "pycore_pystate.h"       // _PyInterpreterState_GET()
#include "pycore_runtime.h"       // _PyRuntime
#include "rawmemory.h"

/* Which allocator has objects and what is inside of them.  Not by its name: asking for that
   takes a lock, and others may run while one waits for it. */
static enum { OTHER, MALLOC, PYMALLOC }
allocator(void)
{
    const struct _pymem_allocators *all = &_PyRuntime.allocators;
    void *(*malloc)(void *, size_t) = all->standard.mem.malloc;
    if (all->standard.raw.malloc != _PyMem_RawMalloc || all->standard.obj.malloc != malloc) {
        return OTHER;
    }
#ifdef WITH_PYMALLOC
    if (malloc == _PyObject_Malloc) {
        return PYMALLOC;
    }
#endif
    return malloc == _PyMem_RawMalloc ? MALLOC : OTHER;
}

int
_PyRawMemory_IsGood(void)
{
    Py_BUILD_ASSERT(_PyRawMemory_LARGEST_SMALL == SMALL_REQUEST_THRESHOLD);
    return allocator() != OTHER;
}

/* Those who share the books share the GIL. */
void
_PyRawMemory_Take(void *memory)
{
    if (allocator() == PYMALLOC) {
        _PyMem_AddLargeBlock(_PyInterpreterState_GET()->obmalloc, memory);
    }
}

void
_PyRawMemory_Give(void *memory)
{
    if (allocator() == PYMALLOC) {
        _PyMem_RemoveLargeBlock(_PyInterpreterState_GET()->obmalloc, memory);
    }
}
