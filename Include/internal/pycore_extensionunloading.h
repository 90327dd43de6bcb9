#ifndef Py_INTERNAL_EXTENSIONUNLOADING_H
#define Py_INTERNAL_EXTENSIONUNLOADING_H

/* Which copies of extension modules can be unloaded when their interpreter has ended: those
   that can have left nothing behind that the process still calls.  That is decided from what
   they ask of others; whatever is not known to be harmless counts as harmful.  This is data:
   _PyExtensionUnloading_SYMBOLS(X) is X(name, reason) for each. */

/* A copy that uses one of these symbols is kept, for the reason.  A name that ends in '*'
   stands for all that begin so. */
#define _PyExtensionUnloading_SYMBOLS(X)                                        \
    X("pthread_create", "it can start threads")                                 \
    X("thrd_create", "it can start threads")                                    \
    X("clone", "it can start threads")                                          \
    X("timer_create", "it can start threads")                                   \
    X("_ZNSt6thread15_M_start_thread*", "it can start threads")                 \
    X("PyThread_start_new_thread", "it can start threads")                      \
    X("dlsym", "it can find functions by name")                                 \
    X("dlvsym", "it can find functions by name")                                \
    X("syscall", "it can call the kernel itself")                               \
    X("mq_notify", "it can start threads")                                      \
    X("aio_*", "it can start threads")                                          \
    X("lio_listio*", "it can start threads")                                    \
    X("getaddrinfo_a", "it can start threads")                                  \
    X("pthread_key_create", "it can be called when a thread ends")              \
    X("tss_create", "it can be called when a thread ends")                      \
    X("__cxa_thread_atexit", "it can be called when a thread ends")             \
    X("__cxa_thread_atexit_impl", "it can be called when a thread ends")        \
    X("signal", "it can handle signals")                                        \
    X("__sysv_signal", "it can handle signals")                                 \
    X("sigset", "it can handle signals")                                        \
    X("sigaction", "it can handle signals")                                     \
    X("__sigaction", "it can handle signals")                                   \
    X("bsd_signal", "it can handle signals")                                    \
    X("ssignal", "it can handle signals")                                       \
    X("sigaltstack", "it can handle signals")                                   \
    X("PyOS_setsig", "it can handle signals")                                   \
    X("on_exit", "it can be called when the process exits")                     \
    X("__cxa_at_quick_exit", "it can be called when the process exits")         \
    X("_ZSt13set_terminatePFvvE", "it can be called when the process exits")    \
    X("_ZSt15set_new_handlerPFvvE", "it can be called when memory runs out")    \
    X("_ZSt14set_unexpectedPFvvE", "it can be called when the process exits")   \
    X("putenv", "it can leave memory to the C library")                         \
    X("environ", "it can leave memory to the C library")                        \
    X("__environ", "it can leave memory to the C library")                      \
    X("openlog", "it can leave memory to the C library")                        \
    X("setvbuf", "it can leave memory to the C library")                        \
    X("setbuf*", "it can leave memory to the C library")                        \
    X("setlinebuf", "it can leave memory to the C library")                     \
    X("initstate*", "it can leave memory to the C library")                     \
    X("setstate*", "it can leave memory to the C library")                      \
    X("hsearch*", "it can leave memory to the C library")                       \
    X("open_memstream", "it can leave memory to the C library")                 \
    X("fopencookie", "it can be called by the C library")                       \
    X("register_printf_*", "it can be called by the C library")                 \
    X("obstack_alloc_failed_handler", "it can be called by the C library")      \
    X("pthread_mutexattr_setrobust", "it can leave memory to the C library")    \
    X("__register_frame*", "it can be called by the C++ library")               \
    X("_ZNSt6locale6globalERKS_", "it can be called by the C++ library")        \
    X("_ZNSt3pmr20set_default_resource*", "it can be called by the C++ library") \
    X("_ZNSt8ios_base17register_callback*", "it can be called by the C++ library") \
    X("openblas_set_threads_callback_function", "it can be called by OpenBLAS") \
    X("__register_atfork", "it can be called when the process forks")           \
    X("dlopen", "it can give its functions to libraries that it opens")         \
    X("dlmopen", "it can give its functions to libraries that it opens")        \
    X("PyThread_tss_create", "it can leave keys of thread-specific storage")    \
    X("PyThread_create_key", "it can leave keys of thread-specific storage")    \
    X("PySys_AddAuditHook", "it can hook into the runtime")                     \
    X("PyMem_SetAllocator", "it can hook into the runtime")                     \
    X("PyObject_SetArenaAllocator", "it can hook into the runtime")             \
    X("PyRefTracer_SetTracer", "it can hook into the runtime")                  \
    X("PyOS_InputHook", "it can hook into the runtime")                         \
    X("PyOS_ReadlineFunctionPointer", "it can hook into the runtime")           \
    X("_PyArg_Parse*", "it can leave its parsers to the runtime")               \
    X("_PyArg_VaParse*", "it can leave its parsers to the runtime")             \
    X("_PyArg_UnpackKeywords*", "it can leave its parsers to the runtime")      \
    X("_PyXIData_*", "it can give its functions to other interpreters")         \
    X("_PyCrossInterpreterData_*", "it can give its functions to other interpreters") \
    X("PyImport_FrozenModules", "it can hook into the runtime")                 \
    X("PyImport_Inittab", "it can hook into the runtime")                       \
    X("PyImport_AppendInittab", "it can hook into the runtime")                 \
    X("PyImport_ExtendInittab", "it can hook into the runtime")

/* Libraries, not copied, that keep no function which a copy may have given them, by how their
   file names begin.  A copy that needs another one is kept. */
#define _PyExtensionUnloading_LIBRARIES(X)                                      \
    X("ld-linux")                                                               \
    X("libc.so")                                                                \
    X("libdl.so")                                                               \
    X("libm.so")                                                                \
    X("libpthread.so")                                                          \
    X("librt.so")                                                               \
    X("libgcc_s")                                                               \
    X("libstdc++")                                                              \
    X("libgfortran")                                                            \
    X("libgomp")                                                                \
    X("libquadmath")                                                            \
    X("libopenblas")                                                            \
    X("libscipy_openblas")                                                      \
    X("libz.so")

#endif  /* !Py_INTERNAL_EXTENSIONUNLOADING_H */
