// The compiled module hdseg_gpu.backends.cpu._cpu_<isa>: thin wrappers, no arithmetic. Python has
// checked every argument and allocated every output; the wrappers release the GIL.
#include "cpu/arrays.h"

using namespace nanobind::literals;

namespace {

namespace nb = nanobind;

nb::typed<nb::dict, nb::str, bool> cpu_features() {
  nb::typed<nb::dict, nb::str, bool> found;
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
#define HDSEG_FEATURE(name) found[name] = static_cast<bool>(__builtin_cpu_supports(name))
  HDSEG_FEATURE("avx2");
  HDSEG_FEATURE("bmi");
  HDSEG_FEATURE("bmi2");
  HDSEG_FEATURE("fma");
  HDSEG_FEATURE("avx512f");
  HDSEG_FEATURE("avx512bw");
  HDSEG_FEATURE("avx512cd");
  HDSEG_FEATURE("avx512dq");
  HDSEG_FEATURE("avx512vl");
#undef HDSEG_FEATURE
#endif
  return found;
}

}  // namespace

NB_MODULE(HDSEG_MODULE, m) {
  m.doc() = "Compiled kernels of the cpu backend, for one instruction set.";
  m.def("cpu_features", &cpu_features);
  hdseg::watch_forks();
  m.def("thread_count", &hdseg::thread_count);
  m.def("set_thread_count", &hdseg::set_thread_count, "count"_a);
  hdseg::bind_cells(m);
  hdseg::bind_statistics(m);
  hdseg::bind_thinning(m);
  hdseg::bind_upsampling(m);
  hdseg::bind_band(m);
  hdseg::bind_level(m);
  hdseg::bind_evidence(m);
  hdseg::bind_filters(m);
  hdseg::bind_values(m);
}
