// How many threads the kernels take, and what becomes of them in a forked child.
//
// A fork takes nothing along but the thread that called it. An OpenMP runtime that had others does
// not notice (libgomp), and its next parallel loop waits for them for ever. So a child of a process
// that has run a kernel runs its own on one thread, whichever thread of the child calls them. The
// kernels have no lock that outlives a call, neither `omp critical` nor a reduction of several
// variables, both of which are locks of the process: one that another thread held would stay held.
#pragma once

namespace hdseg {

// A guard of every kernel's call.
struct Team {
  Team();
};

// Threads of the calling thread's next kernel.
int thread_count();

// Of the calling thread's kernels alone.
void set_thread_count(int count);

// Must be called once, before the first kernel.
void watch_forks();

}  // namespace hdseg
