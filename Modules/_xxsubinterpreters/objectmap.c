/* A table from objects, by identity, to numbers.  See objectmap.h. */

#include "Python.h"
#include "objectmap.h"

#define FIRST_SIZE 8

int
_PyObjectMap_Grow(_PyObjectMap *map)
{
    size_t size = map->size == 0 ? FIRST_SIZE : 4 * map->size;
    _PyObjectMap grown = {.size = size, .used = map->used};
    if (size < map->size || size > PY_SSIZE_T_MAX / sizeof(_PyObjectMapEntry)
        || (grown.entries = PyMem_Calloc(size, sizeof(_PyObjectMapEntry))) == NULL)
    {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < map->size; i++) {
        if (map->entries[i].key != NULL) {
            *_PyObjectMap_Probe(&grown, map->entries[i].key) = map->entries[i];
        }
    }
    PyMem_Free(map->entries);
    *map = grown;
    return 0;
}

void
_PyObjectMap_Clear(_PyObjectMap *map)
{
    /* Freeing an object may run code, which must not find the map half empty. */
    _PyObjectMap cleared = *map;
    *map = (_PyObjectMap){0};
    for (size_t i = 0; i < cleared.size; i++) {
        Py_XDECREF(cleared.entries[i].key);
    }
    PyMem_Free(cleared.entries);
}
