#include "runtime/tensor_reader.h"

#include <algorithm>

#include "format/content_checker.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

// Reads all planes of one encoding.
Status ReadPlanes(const Container& container, uint32_t encoding, std::vector<std::vector<std::byte>>& planes) {
  const EncodingRecord e = container.index().encoding(encoding);
  for (uint32_t p = e.first_plane; p < e.first_plane + e.plane_count; ++p) {
    auto bytes = container.ReadPlane(p);
    if (!bytes) return Propagate(bytes);
    planes.push_back(std::move(*bytes));
  }
  return {};
}

std::vector<ByteSpan> Spans(const std::vector<std::vector<std::byte>>& planes, size_t first, size_t count) {
  return {planes.begin() + static_cast<ptrdiff_t>(first), planes.begin() + static_cast<ptrdiff_t>(first + count)};
}

// The content rules that decoding relies on, on the private copy: permutation and outlier planes.
Status CheckIndexPlanes(const Container& container, uint32_t encoding, const std::string& place,
                        const std::vector<std::vector<std::byte>>& planes) {
  const Index& index = container.index();
  const EncodingRecord e = index.encoding(encoding);
  const Linear l = DecodeLinear(index.payload(e));
  if (!l.permutation && l.outliers == OutlierForm::kNone) return {};
  const std::vector<PlaneSpec> specs = PlanesOf(l, false);
  Report report(1);
  const ChunkWalk walk = [&](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
    const bool own = plane >= e.first_plane && plane - e.first_plane < e.plane_count;
    if (!own) return true;  // nested encodings have no such planes
    const PlaneRole role = specs[plane - e.first_plane].role;
    if (role != PlaneRole::kPermutation && role != PlaneRole::kOutlierRows && role != PlaneRole::kOutlierColumns)
      return true;
    use(planes[plane - e.first_plane]);
    return true;
  };
  CheckContent(index, encoding, place, walk, report);
  for (const Violation& v : report.violations()) return Fail(ErrorCode::kBadInput, "{}", TextOf(container.path(), v));
  return {};
}

}  // namespace

Result<TensorReader> TensorReader::Open(const Model& model, uint32_t i) {
  const Container& container = model.container_of(i);
  const Index& index = container.index();
  const TensorRecord record = model.tensor(i);
  TensorReader reader;
  reader.name_ = fmt::format("{}: tensor '{}'", container.path(), Escape(record.name));
  reader.dtype_ = static_cast<DType>(record.dtype);
  reader.shape_ = record.shape();
  reader.element_count_ = ElementCount(record);
  reader.axis_size_ = record.rank == 0 ? 1 : record.dim(record.axis);
  for (int d = record.axis + 1; d < record.rank; ++d) reader.inner_ *= record.dim(d);
  reader.raw_ = true;
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const PartRecord part_record = index.part(p);
    const EncodingRecord e = index.encoding(part_record.encoding);
    Part part;
    part.extent = part_record.extent;
    if (!e.is(EncodingKind::kRaw) && !e.is(EncodingKind::kLinear)) {
      return Fail(ErrorCode::kBadInput, "{}: cannot be decoded: its encoding is {}", reader.name_,
                  DescribeEncoding(index, part_record.encoding, record.dtype));
    }
    for (uint32_t c = part_record.encoding - e.child_count; c < part_record.encoding; ++c) {
      if (auto read = ReadPlanes(container, c, part.child_planes); !read) return Propagate(read);
    }
    if (auto read = ReadPlanes(container, part_record.encoding, part.planes); !read) return Propagate(read);
    part.raw = e.is(EncodingKind::kRaw);
    if (!part.raw) {
      if (auto check = CheckIndexPlanes(container, part_record.encoding, reader.name_, part.planes); !check)
        return Propagate(check);
      std::vector<EncodedMatrix> children;
      size_t at = 0;
      for (uint32_t c = part_record.encoding - e.child_count; c < part_record.encoding; ++c) {
        const EncodingRecord child = index.encoding(c);
        children.push_back(EncodedMatrix::Make(DecodeLinear(index.payload(child)), true,
                                               Spans(part.child_planes, at, child.plane_count), {}));
        at += child.plane_count;
      }
      part.matrix = EncodedMatrix::Make(DecodeLinear(index.payload(e)), false,
                                        Spans(part.planes, 0, part.planes.size()), std::move(children));
      reader.raw_ = false;
    }
    reader.parts_.push_back(std::move(part));
  }
  return reader;
}

template <typename Use>
Status TensorReader::ForPieces(uint64_t first, uint64_t count, Use&& use) const {
  // The elements are rows of axis_size_ * inner_; each part has extent * inner_ of each row.
  const uint64_t row_size = axis_size_ * inner_;
  while (count > 0) {
    const uint64_t row = first / row_size;
    uint64_t at = first % row_size;
    for (const Part& part : parts_) {
      const uint64_t size = part.extent * inner_;
      if (at >= size) {
        at -= size;
        continue;
      }
      const uint64_t piece = parts_.size() == 1 ? count : std::min(size - at, count);
      if (auto used = use(part, row * size + at, piece); !used) return used;
      first += piece;
      count -= piece;
      break;
    }
  }
  return {};
}

Status TensorReader::Decode(uint64_t first, uint64_t count, float* out) const {
  const size_t size = InfoOf(dtype_).size;
  return ForPieces(first, count, [&](const Part& part, uint64_t at, uint64_t n) -> Status {
    if (!part.raw) {
      DecodeElements(part.matrix, at, n, out);
    } else if (!WidenToF32(dtype_, part.planes[0].data() + at * size, n, out)) {
      return Fail(ErrorCode::kBadInput, "{}: {} has no values in f32", name_, InfoOf(dtype_).name);
    }
    out += n;
    return {};
  });
}

Status TensorReader::ReadRaw(uint64_t first, uint64_t count, std::byte* out) const {
  const size_t size = InfoOf(dtype_).size;
  return ForPieces(first, count, [&](const Part& part, uint64_t at, uint64_t n) -> Status {
    if (!part.raw) return Fail(ErrorCode::kBadInput, "{}: not a raw tensor", name_);
    std::memcpy(out, part.planes[0].data() + at * size, n * size);
    out += n * size;
    return {};
  });
}

}  // namespace ingot
