#include "convert/strided.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ingot {
namespace {

// A dimension of the elements that are wanted: how many, and how far apart, in elements.
struct Axis {
  uint64_t extent;
  uint64_t from;  // in the file
  uint64_t to;    // in the result
};

// The bytes that are read at once, and how many there may be for each that is wanted.
constexpr uint64_t kMaxSpan = 1 << 20;
constexpr uint64_t kMaxWaste = 16;
constexpr uint64_t kFreeSpan = 4096;  // a page is read anyway

// The elements from the first to the last one of some axes.
uint64_t SpanOf(std::span<const Axis> axes) {
  uint64_t span = 1;
  for (const Axis& axis : axes) span += (axis.extent - 1) * axis.from;
  return span;
}

// How many of them are wanted.
uint64_t WantedOf(std::span<const Axis> axes) {
  uint64_t wanted = 1;
  for (const Axis& axis : axes) wanted *= axis.from == 0 ? 1 : axis.extent;
  return wanted;
}

template <size_t kSize>
void Scatter(std::span<const Axis> axes, const std::byte* from, std::byte* to) {
  if (axes.empty()) {
    std::memcpy(to, from, kSize);
    return;
  }
  const Axis& axis = axes.front();
  if (axes.size() == 1 && axis.from == 1 && axis.to == 1) {
    std::memcpy(to, from, axis.extent * kSize);
    return;
  }
  for (uint64_t i = 0; i < axis.extent; ++i) {
    const std::byte* source = from + i * axis.from * kSize;
    std::byte* target = to + i * axis.to * kSize;
    if (axes.size() == 1) {
      std::memcpy(target, source, kSize);
    } else {
      Scatter<kSize>(axes.subspan(1), source, target);
    }
  }
}

using ScatterFunction = void (*)(std::span<const Axis>, const std::byte*, std::byte*);

ScatterFunction ScatterOf(uint8_t element_size) {
  switch (element_size) {
    case 1:
      return &Scatter<1>;
    case 2:
      return &Scatter<2>;
    case 4:
      return &Scatter<4>;
    default:
      return &Scatter<8>;
  }
}

class Gatherer {
 public:
  Gatherer(const Source& source, const SourceTensor& tensor)
      : source_(source),
        tensor_(tensor),
        element_(InfoOf(tensor.dtype).size),
        scatter_(ScatterOf(InfoOf(tensor.dtype).size)) {}

  // Elements [first, first + count) of the dimensions from `dim` on, the first of which lies at `base` in the file: a
  // piece of one slice, whole slices, and a piece of another.
  Status Read(size_t dim, uint64_t base, uint64_t first, uint64_t count, std::byte* out) {
    if (count == 0) return {};
    if (dim == tensor_.shape.size()) return ReadAxes({}, base, out);
    uint64_t slice = 1;
    for (size_t i = dim + 1; i < tensor_.shape.size(); ++i) slice *= tensor_.shape[i];
    const uint64_t stride = tensor_.strides[dim];
    while (count > 0) {
      const uint64_t at = first / slice, skipped = first % slice;
      const uint64_t here = base + at * stride;
      uint64_t taken = std::min(count, slice - skipped);
      if (taken == slice) {
        taken = count / slice * slice;
        if (auto read = ReadSlices(dim, here, taken / slice, out); !read) return read;
      } else if (auto read = Read(dim + 1, here, skipped, taken, out); !read) {
        return read;
      }
      first += taken;
      count -= taken;
      out += taken * element_;
    }
    return {};
  }

 private:
  // `count` whole slices of dimension `dim`: a box.
  Status ReadSlices(size_t dim, uint64_t base, uint64_t count, std::byte* out) {
    std::vector<Axis> axes;
    uint64_t to = 1;
    for (size_t i = tensor_.shape.size(); i-- > dim;) {
      const uint64_t extent = i == dim ? count : tensor_.shape[i];
      if (extent > 1) axes.push_back({extent, tensor_.strides[i], to});
      to *= extent;
    }
    // In the order of the file, so that what lies close together is innermost.
    std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.from > b.from; });
    return ReadAxes(axes, base, out);
  }

  Status ReadAxes(std::span<const Axis> axes, uint64_t from, std::byte* out) {
    if (axes.empty()) return ReadPiece(axes, from, out);
    const Axis& axis = axes.front();
    const uint64_t steps = StepsAtOnce(axes);
    std::vector<Axis> piece(axes.begin(), axes.end());
    for (uint64_t i = 0; i < axis.extent; i += steps) {
      piece.front().extent = std::min(steps, axis.extent - i);
      const uint64_t at = from + i * axis.from;
      std::byte* target = out + i * axis.to * element_;
      auto read = steps > 1 ? ReadPiece(piece, at, target) : ReadAxes(axes.subspan(1), at, target);
      if (!read) return read;
    }
    return {};
  }

  // How many steps of the first axis, with all of the others, are worth one read; 1 if not even two are.
  uint64_t StepsAtOnce(std::span<const Axis> axes) const {
    const Axis& axis = axes.front();
    if (axis.from == 0) return axis.extent;  // then so is the stride of all others: one element
    const uint64_t inner = SpanOf(axes.subspan(1)), wanted = WantedOf(axes.subspan(1));
    for (const uint64_t most : {kMaxSpan, kFreeSpan}) {
      if (inner * element_ > most) continue;
      const uint64_t steps = std::min(axis.extent, 1 + (most / element_ - inner) / axis.from);
      const uint64_t span = (steps - 1) * axis.from + inner;
      if (most == kFreeSpan || span / kMaxWaste <= steps * wanted) return steps;
    }
    return 1;
  }

  // All of the axes by one read.
  Status ReadPiece(std::span<const Axis> axes, uint64_t from, std::byte* out) {
    buffer_.resize(SpanOf(axes) * element_);
    if (auto read = source_.Read(tensor_.file, tensor_.offset + from * element_, buffer_); !read) return read;
    scatter_(axes, buffer_.data(), out);
    return {};
  }

  const Source& source_;
  const SourceTensor& tensor_;
  uint64_t element_;
  ScatterFunction scatter_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Status ReadStrided(const Source& source, const SourceTensor& tensor, uint64_t first, uint64_t count,
                   std::span<std::byte> out) {
  return Gatherer(source, tensor).Read(0, 0, first, count, out.data());
}

}  // namespace ingot
