// The number of threads of kernels, and their behaviour in a forked child.
//
// Only the thread that calls fork() exists in the child. An OpenMP runtime that had more threads
// does not notice (libgomp), and its next parallel loop waits for them forever. So in a child of a
// process that has run a kernel, kernels use one thread, whichever thread calls them. Kernels avoid
// process-wide locks, such as `omp critical` or a reduction of several variables: a lock held by
// another thread at the time of the fork would never be released.
#pragma once

namespace hdseg {

// Guards every call of a kernel.
struct Team {
  Team();
};

// The number of threads of the calling thread's next kernel.
int thread_count();

// Sets it for the calling thread only.
void set_thread_count(int count);

// Must be called once, before the first kernel.
void watch_forks();

}  // namespace hdseg
