/* SPDX-License-Identifier: MIT */
/* catch (...) in C.  operator new(nothrow) must return NULL when the program's new_handler throws, but a C
   compiler has no catch, and C++ would make the library depend on a C++ runtime.  So the frame that calls
   the handler is a few lines of assembly with a personality routine of our own: asked by the unwinder, it
   answers that the handler is here, and has the call return the exception object.  (Unwinder and C++
   runtime are present in any process in which something is thrown; the references are weak for those in
   which nothing is.) */
#include <stdint.h>
#include <unwind.h>

#include "alloc/new.h"

#pragma weak _Unwind_SetGR
#pragma weak _Unwind_SetIP

#if defined(__x86_64__)

extern const char call_catching_landing[] __attribute__((visibility("hidden")));

__attribute__((used)) /* named in assembly only */
_Unwind_Reason_Code call_catching_personality(int version, _Unwind_Action actions,
                                              _Unwind_Exception_Class kind,
                                              struct _Unwind_Exception* exception,
                                              struct _Unwind_Context* context);

/* A forced unwind (the end of a thread) is not an exception: it passes. */
_Unwind_Reason_Code call_catching_personality(int version, _Unwind_Action actions,
                                              NOT_USED _Unwind_Exception_Class kind,
                                              struct _Unwind_Exception* exception,
                                              struct _Unwind_Context* context) {
  if (version != 1 || (actions & _UA_FORCE_UNWIND) != 0) return _URC_CONTINUE_UNWIND;
  if ((actions & _UA_SEARCH_PHASE) != 0) return _URC_HANDLER_FOUND;
  if ((actions & _UA_HANDLER_FRAME) == 0) return _URC_CONTINUE_UNWIND;
  _Unwind_SetGR(context, __builtin_eh_return_data_regno(0), (uintptr_t)exception);
  _Unwind_SetIP(context, (uintptr_t)call_catching_landing);
  return _URC_INSTALL_CONTEXT;
}

/* The result register is 0 after a normal return, and at the landing the exception object. */
__asm__(".text\n.hidden call_catching\n.globl call_catching\n.type call_catching, @function\n"
        "call_catching:\n"
        "  .cfi_startproc\n  .cfi_personality 0x1b, call_catching_personality\n"
        "  endbr64\n"
        "  subq $8, %rsp\n  .cfi_adjust_cfa_offset 8\n"
        "  call *%rdi\n  xorl %eax, %eax\n  jmp 1f\n"
        ".hidden call_catching_landing\n.globl call_catching_landing\n"
        "call_catching_landing:\n"
        "  endbr64\n"
        "1:\n  addq $8, %rsp\n  .cfi_adjust_cfa_offset -8\n  ret\n  .cfi_endproc\n"
        ".size call_catching, .-call_catching\n");
#else

/* A port without its own frame: a handler that throws leaves through operator new(nothrow). */
void* call_catching(void (*function)(void)) {
  function();
  return NULL;
}

#endif
