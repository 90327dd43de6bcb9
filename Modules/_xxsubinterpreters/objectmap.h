/* A table from objects, by identity, to numbers.

   It holds a strong reference to each of its objects, so that none of them can
   be freed, and its address be used by another, while the table is there.  All
   functions need an attached thread state. */

#ifndef Py_XXSUBINTERPRETERS_OBJECTMAP_H
#define Py_XXSUBINTERPRETERS_OBJECTMAP_H

#include "Python.h"

typedef struct {
    PyObject *key;                  /* strong; NULL if the place is free */
    size_t value;
} _PyObjectMapEntry;

typedef struct {
    _PyObjectMapEntry *entries;     /* owned; NULL while there are none */
    size_t size;                    /* a power of two */
    size_t used;                    /* at most half of them */
} _PyObjectMap;

/* An empty map is all zeros. */

extern void _PyObjectMap_Clear(_PyObjectMap *map);

/* Out of line: the table is too small for one entry more.  Return -1 with an
   exception when out of memory. */
extern int _PyObjectMap_Grow(_PyObjectMap *map);

static inline _PyObjectMapEntry *
_PyObjectMap_Probe(const _PyObjectMap *map, PyObject *key)
{
    /* Fibonacci hashing (Knuth, volume 3, 6.4); addresses are multiples of 16. */
    size_t i = (size_t)((((uintptr_t)key >> 4) * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
    for (;; i++) {
        _PyObjectMapEntry *entry = &map->entries[i & (map->size - 1)];
        if (entry->key == key || entry->key == NULL) {
            return entry;
        }
    }
}

/* The entry of an object, or NULL.  Valid until the map is changed. */
static inline _PyObjectMapEntry *
_PyObjectMap_Find(const _PyObjectMap *map, PyObject *key)
{
    if (map->entries == NULL) {
        return NULL;
    }
    _PyObjectMapEntry *entry = _PyObjectMap_Probe(map, key);
    return entry->key != NULL ? entry : NULL;
}

/* The entry of an object, which is new, with the value 0, if there was none.
   NULL with an exception when out of memory.  Valid until the map is changed. */
static inline _PyObjectMapEntry *
_PyObjectMap_FindOrAdd(_PyObjectMap *map, PyObject *key)
{
    if (2 * (map->used + 1) > map->size && _PyObjectMap_Grow(map) < 0) {
        return NULL;
    }
    _PyObjectMapEntry *entry = _PyObjectMap_Probe(map, key);
    if (entry->key == NULL) {
        entry->key = Py_NewRef(key);
        map->used++;
    }
    return entry;
}

#endif /* !Py_XXSUBINTERPRETERS_OBJECTMAP_H */
