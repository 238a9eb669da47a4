#include <algorithm>
#include <type_traits>
#include <vector>

#include "cpu/cells.h"

namespace hdseg {
namespace {

// Below this, waking other threads takes longer than the work.
constexpr int64_t kSmall = 1 << 14;
// Adjacent cells are summed together, one per lane; the order within a cell is unchanged.
constexpr int kLanes = 16;
constexpr int64_t kPiece = 16;  // pixels of a cell's row that are read at a time

// The standardised values of a channel; for bytes from a table.
template <class T>
class Scale {
 public:
  Scale(const double* center, double scale, int64_t channels) : center_(center), scale_(scale) {
    if constexpr (std::is_same_v<T, uint8_t>) {
      for (int64_t i = 0; i < channels * kValues; ++i) {
        const double value = static_cast<double>(i % kValues);
        table_.push_back(standardised(value, center[i / kValues], scale));
      }
    }
  }

  float operator()(T value, int64_t channel) const {
    if constexpr (std::is_same_v<T, uint8_t>) {
      return table_[static_cast<size_t>(channel * kValues + value)];
    } else {
      return standardised(static_cast<double>(value), center_[channel], scale_);
    }
  }

 private:
  static constexpr int64_t kValues = 256;
  const double* center_;
  double scale_;
  std::vector<float> table_;
};

template <class T>
struct Picture {
  const T* image;
  Grid grid;
  int64_t cell;
  Scale<T> scale;
};

// Reads pixels x .. x + piece - 1 of a row for the first lane, those `cell` columns further for the
// next, and so on: values[pixel][channel][lane], 0 beyond the border.
template <class T, class Channels>
void gather(const Picture<T>& picture, const T* row, int64_t x, int64_t piece, Channels channels,
            float* values) {
  for (int64_t lane = 0; lane < kLanes; ++lane, x += picture.cell) {
    const int64_t present = std::clamp<int64_t>(picture.grid.width - x, 0, piece);
    const T* from = row + x * channels;
    float* to = values + lane;
    for (int64_t p = 0; p < present; ++p) {
      for (int64_t c = 0; c < channels; ++c, ++from, to += kLanes) *to = picture.scale(*from, c);
    }
    for (int64_t k = present * channels; k < piece * channels; ++k, to += kLanes) *to = 0.0f;
  }
}

// The moments of up to kLanes cells, from entry (y, x) of the grid of cells on.
template <class T, class Channels>
void block_moments(const Picture<T>& picture, int64_t y, int64_t x, Channels channels,
                   float* moments) {
  const auto& [image, grid, cell, scale] = picture;
  const int64_t count = moment_count(channels), left = x * cell;
  const int64_t top = y * cell, bottom = std::min(grid.height - top, cell) + top;
  float values[kPiece * kMostChannels * kLanes];
  float sums[moment_count(kMostChannels) * kLanes];
  std::fill_n(sums, count * kLanes, 0.0f);
  for (int64_t row = top; row < bottom; ++row) {
    for (int64_t p = 0; p < std::min(cell, grid.width); p += kPiece) {
      const int64_t piece = std::min(kPiece, cell - p);
      gather(picture, image + row * grid.width * channels, left + p, piece, channels, values);
      for (int64_t k = 0; k < piece; ++k) {
        add_moments<kLanes>(values + k * channels * kLanes, channels, sums);
      }
    }
  }
  const int64_t lanes = std::min<int64_t>(kLanes, cells_of(grid, cell).width - x);
  for (int64_t lane = 0; lane < lanes; ++lane, moments += count) {
    const int64_t across = std::min(cell, grid.width - left - lane * cell);
    moments[0] = static_cast<float>((bottom - top) * across);
    for (int64_t m = 1; m < count; ++m) moments[m] = sums[(m - 1) * kLanes + lane];
  }
}

template <class T, class Channels>
void all_moments(const Picture<T>& picture, Channels channels, float* moments) {
  const Grid cells = cells_of(picture.grid, picture.cell);
  const int64_t across = (cells.width + kLanes - 1) / kLanes, count = moment_count(channels);
#pragma omp parallel for schedule(static) if (picture.grid.height * picture.grid.width > kSmall)
  for (int64_t b = 0; b < across * cells.height; ++b) {
    const int64_t y = b / across, x = b % across * kLanes;
    block_moments(picture, y, x, channels, moments + (y * cells.width + x) * count);
  }
}

}  // namespace

template <class T>
void cell_moments(const T* image, const Grid& grid, int64_t channels, int64_t cell,
                  const double* center, double scale, float* moments) {
  const Picture<T> picture{image, grid, cell, Scale<T>(center, scale, channels)};
  // Common numbers of channels are compile-time constants.
  if (channels == 1) {
    all_moments(picture, std::integral_constant<int64_t, 1>(), moments);
  } else if (channels == 3) {
    all_moments(picture, std::integral_constant<int64_t, 3>(), moments);
  } else {
    all_moments(picture, channels, moments);
  }
}

#define HDSEG_INSTANTIATE(T)                                                                    \
  template void cell_moments<T>(const T*, const Grid&, int64_t, int64_t, const double*, double, \
                                float*);
HDSEG_INSTANTIATE(uint8_t)
HDSEG_INSTANTIATE(uint16_t)
HDSEG_INSTANTIATE(float)
HDSEG_INSTANTIATE(double)
#undef HDSEG_INSTANTIATE

}  // namespace hdseg
