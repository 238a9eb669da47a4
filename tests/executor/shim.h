// CUDA's words for the host compiler: an unchanged .cu runs on the processor, a fiber for each
// thread of a block. Blocks run one after the other; within a block the fibers take turns at
// barriers, in an order that the caller chooses. x86-64 only.
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace executor {

// Saves the callee's registers and the stack, and goes on with another one.
extern "C" void executor_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl executor_switch
.hidden executor_switch
.type executor_switch,@function
executor_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size executor_switch,.-executor_switch
)");

enum class State { kReady, kAtBlock, kAtWarp, kDone };
enum class Order : int32_t { kForward, kReverse, kShuffled };

constexpr size_t kStack = 256 << 10;
constexpr unsigned kLanes = 32;

struct Fiber {
  void* stack = nullptr;
  State state = State::kReady;
  unsigned number = 0;
  dim3 thread;
  uint64_t shown = 0;  // to the other lanes of its warp
  int predicate = 0;   // for votes of the block
};

struct Machine {
  dim3 grid, block, block_index;
  Fiber* current = nullptr;
  void* scheduler = nullptr;
  const std::function<void()>* kernel = nullptr;
  std::vector<Fiber> fibers;
  char* stacks = nullptr;
  char* shared = nullptr;
};
inline thread_local Machine machine;

#if defined(__SANITIZE_ADDRESS__)
inline thread_local const void* scheduler_bottom = nullptr;
inline thread_local size_t scheduler_size = 0;
#endif

// Back to the scheduler, until somebody else wakes this thread.
inline void wait_as(State state) {
  Fiber* me = machine.current;
  me->state = state;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(state == State::kDone ? nullptr : &fake, scheduler_bottom,
                                 scheduler_size);
#endif
  executor_switch(&me->stack, machine.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_bottom, &scheduler_size);
#endif
}

[[noreturn]] inline void begin() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
  (*machine.kernel)();
  wait_as(State::kDone);
  std::abort();
}

inline void go_on_with(Fiber& fiber) {
  machine.current = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, machine.stacks + fiber.number * kStack, kStack);
#endif
  executor_switch(&machine.scheduler, fiber.stack);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// Wakes the warps of which all threads that are left wait; false if there is none.
inline bool wake_warps() {
  std::vector<Fiber>& fibers = machine.fibers;
  bool woken = false;
  for (size_t first = 0; first < fibers.size(); first += kLanes) {
    const size_t end = std::min<size_t>(fibers.size(), first + kLanes);
    unsigned waiting = 0, left = 0;
    for (size_t i = first; i < end; ++i) {
      waiting += fibers[i].state == State::kAtWarp;
      left += fibers[i].state != State::kDone;
    }
    if (waiting == 0 || waiting != left) continue;
    for (size_t i = first; i < end; ++i) {
      if (fibers[i].state == State::kAtWarp) fibers[i].state = State::kReady;
    }
    woken = true;
  }
  return woken;
}

inline void run_block(std::vector<unsigned>& turns, Order order, std::mt19937& random) {
  std::vector<Fiber>& fibers = machine.fibers;
  size_t done = 0;
  while (done < fibers.size()) {
    if (order == Order::kShuffled) std::shuffle(turns.begin(), turns.end(), random);
    do {
      for (const unsigned i : turns) {
        if (fibers[i].state != State::kReady) continue;
        go_on_with(fibers[i]);
        done += fibers[i].state == State::kDone;
      }
    } while (wake_warps());
    bool woken = false, stuck = false;
    for (Fiber& fiber : fibers) {
      stuck |= fiber.state == State::kAtWarp;
      if (fiber.state != State::kAtBlock) continue;
      fiber.state = State::kReady;
      woken = true;
    }
    if (stuck || (!woken && done < fibers.size())) {
      std::fprintf(stderr, "executor: some threads of a warp never came to a barrier\n");
      std::abort();
    }
  }
}

inline void launch(const dim3& grid, const dim3& block, size_t shared,
                   const std::function<void()>& kernel, Order order, unsigned seed) {
  const unsigned count = block.x * block.y * block.z;
  char* stacks = static_cast<char*>(mmap(nullptr, count * kStack, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  std::vector<unsigned> turns(count);
  for (unsigned i = 0; i < count; ++i) turns[i] = i;
  if (order == Order::kReverse) std::reverse(turns.begin(), turns.end());
  std::mt19937 random(seed);
  std::vector<char> memory(shared + 64);
  machine.grid = grid;
  machine.block = block;
  machine.kernel = &kernel;
  machine.stacks = stacks;
  machine.shared = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  machine.fibers.assign(count, Fiber());
  dim3& at = machine.block_index;
  for (at.z = 0; at.z < grid.z; ++at.z) {
    for (at.y = 0; at.y < grid.y; ++at.y) {
      for (at.x = 0; at.x < grid.x; ++at.x) {
        // What a block has not written is not 0 on a device either.
        std::fill(memory.begin(), memory.end(), static_cast<char>(0xa5));
        for (unsigned i = 0; i < count; ++i) {
          Fiber& fiber = machine.fibers[i];
          fiber.state = State::kReady;
          fiber.number = i;
          fiber.thread = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
          void** top = reinterpret_cast<void**>(stacks + (i + 1) * kStack - 64);
          *--top = nullptr;
          *--top = reinterpret_cast<void*>(&begin);
          for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
          fiber.stack = top;
        }
        run_block(turns, order, random);
      }
    }
  }
  munmap(stacks, count * kStack);
}

// How many fields an aggregate has: as many as it can be made from.
struct Anything {
  template <class T>
  operator T() const;
};
template <class T, size_t... index>
auto takes(std::index_sequence<index...>, int)
    -> decltype(T{(static_cast<void>(index), Anything())...}, std::true_type());
template <class T, size_t... index>
std::false_type takes(std::index_sequence<index...>, ...);
template <class T, size_t count = 1>
constexpr size_t field_count() {
  if constexpr (decltype(takes<T>(std::make_index_sequence<count + 1>(), 0))::value) {
    return field_count<T, count + 1>();
  } else {
    return count;
  }
}

// Calls use(field) for each of an aggregate's fields.
template <class T, class Use>
void each_field(T& value, Use use) {
  const auto all = [&](auto&... fields) { (use(fields), ...); };
  constexpr size_t count = field_count<T>();
  static_assert(count <= 8, "structures with more fields need another line here");
  if constexpr (count == 2) {
    auto& [a, b] = value;
    all(a, b);
  } else if constexpr (count == 3) {
    auto& [a, b, c] = value;
    all(a, b, c);
  } else if constexpr (count == 4) {
    auto& [a, b, c, d] = value;
    all(a, b, c, d);
  } else if constexpr (count == 5) {
    auto& [a, b, c, d, e] = value;
    all(a, b, c, d, e);
  } else if constexpr (count == 6) {
    auto& [a, b, c, d, e, f] = value;
    all(a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    auto& [a, b, c, d, e, f, g] = value;
    all(a, b, c, d, e, f, g);
  } else {
    auto& [a, b, c, d, e, f, g, h] = value;
    all(a, b, c, d, e, f, g, h);
  }
}

// What a kernel takes, as text: "Pf4" for a pointer to float, "i8" for int64_t, and for a structure
// where each of its fields lies, and how long it is: "{0:Pi4,8:i8}16".
template <class T>
std::string code() {
  if constexpr (std::is_pointer_v<T>) {
    return "P" + code<std::remove_cv_t<std::remove_pointer_t<T>>>();
  } else if constexpr (std::is_enum_v<T>) {
    return code<std::underlying_type_t<T>>();
  } else if constexpr (std::is_class_v<T>) {
    T value{};
    std::string found;
    each_field(value, [&](auto& field) {
      const auto offset = reinterpret_cast<char*>(&field) - reinterpret_cast<char*>(&value);
      found += (found.empty() ? "{" : ",") + std::to_string(offset) + ":" +
               code<std::remove_reference_t<decltype(field)>>();
    });
    return found + "}" + std::to_string(sizeof(T));
  } else {
    const char* kind = std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "i" : "u";
    return kind + std::to_string(sizeof(T));
  }
}

struct Kernel {
  std::string arguments;
  std::function<void(void**)> call;
};

template <class... Args, size_t... index>
Kernel kernel_of(void (*kernel)(Args...), std::index_sequence<index...>) {
  Kernel found;
  ((found.arguments += code<Args>() + " "), ...);
  found.call = [kernel](void** arguments) {
    kernel(*static_cast<std::remove_cv_t<Args>*>(arguments[index])...);
  };
  return found;
}

template <class... Args>
Kernel kernel_of(void (*kernel)(Args...)) {
  return kernel_of(kernel, std::index_sequence_for<Args...>());
}

template <class T>
T of_lane(T value, unsigned lane) {
  static_assert(sizeof(T) <= 8, "as on a device");
  Fiber* me = machine.current;
  std::memcpy(&me->shown, &value, sizeof value);
  wait_as(State::kAtWarp);
  const size_t from = me->number / kLanes * kLanes + lane;
  T found = value;
  if (from < machine.fibers.size()) std::memcpy(&found, &machine.fibers[from].shown, sizeof found);
  wait_as(State::kAtWarp);
  return found;
}

inline unsigned lane() { return machine.current->number % kLanes; }

template <class T, class Update>
T atomically(T* at, Update update) {
  const T before = *at;
  *at = update(before);
  return before;
}

}  // namespace executor

#define __CUDACC__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __shared__ static thread_local
#define __constant__ static const
#define __launch_bounds__(...)
#define threadIdx (executor::machine.current->thread)
#define blockIdx (executor::machine.block_index)
#define blockDim (executor::machine.block)
#define gridDim (executor::machine.grid)
#define HDSEG_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(executor::machine.shared)

inline void __syncthreads() { executor::wait_as(executor::State::kAtBlock); }
inline int __syncthreads_or(int predicate) {
  executor::machine.current->predicate = predicate;
  __syncthreads();
  int any = 0;
  for (const executor::Fiber& fiber : executor::machine.fibers) {
    any |= fiber.state != executor::State::kDone && fiber.predicate != 0;
  }
  __syncthreads();
  return any;
}
inline void __syncwarp(unsigned = ~0u) { executor::wait_as(executor::State::kAtWarp); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return executor::of_lane(value, static_cast<unsigned>(lane) % executor::kLanes);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return executor::of_lane(value, executor::lane() ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by) {
  const unsigned from = executor::lane() + by;
  return executor::of_lane(value, from < executor::kLanes ? from : executor::lane());
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned by) {
  const unsigned lane = executor::lane();
  return executor::of_lane(value, lane >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  using namespace executor;
  Fiber* me = machine.current;
  me->shown = predicate != 0;
  wait_as(State::kAtWarp);
  unsigned found = 0;
  const size_t first = me->number / kLanes * kLanes;
  for (size_t i = 0; i < kLanes && first + i < machine.fibers.size(); ++i) {
    const Fiber& fiber = machine.fibers[first + i];
    if (fiber.state != State::kDone && fiber.shown != 0) found |= 1u << i;
  }
  wait_as(State::kAtWarp);
  return found;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T>
T atomicAdd(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return static_cast<T>(before + value); });
}
template <class T>
T atomicMax(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return std::max(before, value); });
}
template <class T>
T atomicMin(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return std::min(before, value); });
}
template <class T>
T atomicOr(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return before | value; });
}
template <class T>
T atomicAnd(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return before & value; });
}
template <class T>
T atomicExch(T* at, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* at, std::common_type_t<T> expected, std::common_type_t<T> value) {
  return executor::atomically(at, [=](T before) { return before == expected ? value : before; });
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline int __clzll(long long bits) {
  return bits == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(bits));
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
