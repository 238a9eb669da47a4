"""The contestants' names in the JSON and in the tables."""

OURS = "hdseg_gpu"
OURS_ONE_THREAD = "hdseg_gpu, 1 thread"
CERTIFIED = "hdseg_gpu, certified"
WHOLE = "hdseg_gpu, assembly and certified solution"
ASSEMBLY = "hdseg_gpu, assembly alone"
SCIPY = "SciPy binary_hit_or_miss"
OPENCV = "OpenCV MORPH_HITMISS"
PYAMG = "pyamg Ruge-Stueben, second pass + CG"
PYAMG_DEFAULT = "pyamg Ruge-Stueben, default + CG"
SPSOLVE = "SciPy spsolve"
SKIMAGE = {f"scikit-image random_walker {mode}": mode for mode in ("cg_j", "cg_mg", "bf")}
PIECES = "SciPy thinning + scikit-image cg_mg"
