#include "cpu/team.h"

#include <atomic>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace hdseg {

namespace {

std::atomic<bool> used{false}, alone{false};

void in_child() {
  if (used) alone = true;
}

}  // namespace

Team::Team() {
  if (!used.load(std::memory_order_relaxed)) used = true;
  if (alone.load(std::memory_order_relaxed)) set_thread_count(1);
}

int thread_count() {
#if defined(_OPENMP)
  return alone ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

void set_thread_count(int count) {
#if defined(_OPENMP)
  omp_set_num_threads(count);
#else
  static_cast<void>(count);
#endif
}

void watch_forks() {
#if defined(__unix__) || defined(__APPLE__)
  pthread_atfork(nullptr, nullptr, &in_child);
#endif
}

}  // namespace hdseg
