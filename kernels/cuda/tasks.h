// Tasks of colour models: a class, and a field of windows that contains those that need its model.
#pragma once
#include "cuda/runs.h"

namespace hdseg {

struct Task {
  int64_t k, top, left, height, width;

  __device__ int64_t area() const { return height * width; }
};

// Tasks first .. end - 1. Their fields are stored one after the other, each moment by moment.
struct Tasks {
  const int64_t* begin;  // the first window of each task's field, for all tasks, and the end
  const Task* task;
  int64_t first, end, count;  // count: number of moments

  __device__ int64_t values() const { return (begin[end] - begin[first]) * count; }

  // The task to which a window of these fields belongs.
  __device__ int64_t at(int64_t window) const {
    return first + last_at_most(begin + first, end - first, begin[first] + window);
  }

  // Where moment q of a task's field begins.
  __device__ int64_t place(int64_t t, int64_t q) const {
    return (begin[t] - begin[first]) * count + q * (begin[t + 1] - begin[t]);
  }
};

// The same from the host, which may not know how many there are: end < 0, then `total` does.
struct SomeTasks {
  const int64_t* begin;
  const int64_t* task;  // (tasks, 5)
  int64_t first, end;
  const int64_t* total;
  int64_t count;

  __device__ Tasks known() const {
    return {begin, reinterpret_cast<const Task*>(task), first, end < 0 ? *total : end, count};
  }
};
static_assert(sizeof(SomeTasks) == 48);

}  // namespace hdseg
