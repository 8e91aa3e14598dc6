#include <algorithm>
#include <bit>
#include <cmath>

#include "convert/export_compressed_tensors.h"
#include "convert/import/float8.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{16} << 20;  // of lines

// Entries are the same bits, or both NaN.
bool SameBook(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y));
  });
}

// Rows of codes as lines of `line_bytes` bytes, of which a line of words may have a few more.
Status WriteLines(const EncodedMatrix& m, uint64_t line_bytes, const PackedTensor::Put& put) {
  const PackedRows rows(m, CodeOrder::kStream);
  const uint64_t packed = rows.line_bytes(), all = m.linear.rows;
  const uint64_t most = std::clamp<uint64_t>(kBlockBytes / packed, 1, all);
  std::vector<std::byte> lines(most * packed);
  for (uint64_t first = 0; first < all; first += most) {
    const uint64_t count = std::min(most, all - first);
    rows.Pack(first, count, lines.data());
    for (uint64_t r = 1; packed != line_bytes && r < count; ++r)
      std::copy_n(lines.data() + r * packed, line_bytes, lines.data() + r * line_bytes);
    if (auto put_all = put(0, first * line_bytes, ByteSpan(lines).first(count * line_bytes)); !put_all) return put_all;
  }
  return {};
}

class PackQuantized final : public PackedTensor {
 public:
  PackQuantized(const Candidate& c, const CtLayout& layout)
      : PackedTensor(c.number, OutputsOf(c, layout)), layout_(layout), scale_(c.scale_type()) {}

  Status Write(const TensorReader& reader, const Put& put) const override {
    const EncodedMatrix& m = reader.parts().front().matrix;
    const Linear& l = m.linear;
    if (auto written = WriteLines(m, 4 * LineWords(CodeOrder::kStream, l.bits, l.cols), put); !written) return written;
    if (auto written = put(1, 0, ScaleBytes(m, scale_)); !written) return written;
    std::vector<std::byte> shape;
    Append(shape, l.rows);
    Append(shape, l.cols);
    if (auto written = put(2, 0, shape); !written) return written;
    size_t next = 3;
    if (!layout_.symmetric) {
      const uint64_t groups = l.groups_across(), words = LineWords(CodeOrder::kStream, l.bits, l.rows);
      const std::vector<std::byte> lines = PackByGroup(ZeroCodes(m, 0), l.rows, CodeOrder::kStream, l.bits);
      std::vector<std::byte> turned(lines.size());
      Transpose(4, lines.data(), groups, words, turned.data());
      if (auto written = put(next++, 0, turned); !written) return written;
    }
    return layout_.act_order ? put(next, 0, GroupOfColumns(m)) : Status{};
  }

 private:
  static std::vector<Output> OutputsOf(const Candidate& c, const CtLayout& layout) {
    const Linear& l = c.linear;
    const uint64_t groups = l.groups_across();
    const std::string p = c.module + ".weight_";
    std::vector<Output> outputs = {{p + "packed", DType::kI32, {l.rows, LineWords(CodeOrder::kStream, l.bits, l.cols)}},
                                   {p + "scale", c.scale_type(), {l.rows, groups}},
                                   {p + "shape", DType::kI64, {2}}};
    if (!layout.symmetric)
      outputs.push_back({p + "zero_point", DType::kI32, {LineWords(CodeOrder::kStream, l.bits, l.rows), groups}});
    if (layout.act_order) outputs.push_back({p + "g_idx", DType::kI32, {l.cols}});
    return outputs;
  }

  CtLayout layout_;
  DType scale_;
};

class FloatQuantized final : public PackedTensor {
 public:
  explicit FloatQuantized(const Candidate& c, const CtLayout& layout)
      : PackedTensor(c.number, OutputsOf(c, layout)), scale_(c.scale_type()) {}

  Status Write(const TensorReader& reader, const Put& put) const override {
    const EncodedMatrix& m = reader.parts().front().matrix;
    if (auto written = WriteLines(m, m.linear.cols, put); !written) return written;
    // One scale a group: those of rows are not repeated.
    EncodedMatrix groups = m;
    groups.linear.rows = m.linear.groups_down();
    groups.linear.group_rows = 1;
    return put(1, 0, ScaleBytes(groups, scale_));
  }

 private:
  static std::vector<Output> OutputsOf(const Candidate& c, const CtLayout& layout) {
    const Linear& l = c.linear;
    const std::vector<uint64_t> shape = layout.strategy == "tensor"
                                            ? std::vector<uint64_t>{1}
                                            : std::vector<uint64_t>{l.groups_down(), l.groups_across()};
    return {{c.module + ".weight", DType::kF8E4M3, {l.rows, l.cols}},
            {c.module + ".weight_scale", c.scale_type(), shape}};
  }

  DType scale_;
};

// E2M1 codes: nvfp4 and mxfp4.
class Microscaled final : public PackedTensor {
 public:
  Microscaled(const Candidate& c, const CtLayout& layout)
      : PackedTensor(c.number, OutputsOf(c, layout)), global_(GlobalOf(c, layout)) {}

  Status Write(const TensorReader& reader, const Put& put) const override {
    const EncodedMatrix& m = reader.parts().front().matrix;
    if (auto written = WriteLines(m, m.linear.cols / 2, put); !written) return written;
    const std::vector<uint8_t> scales = ScaleCodes(m);
    if (auto written = put(1, 0, std::as_bytes(std::span(scales))); !written) return written;
    if (!global_) return {};
    std::vector<std::byte> global;
    Append(global, *global_);
    return put(2, 0, global);
  }

 private:
  static std::optional<float> GlobalOf(const Candidate& c, const CtLayout& layout) {
    return layout.format == CtFormat::kNvfp4 ? GlobalScaleOf(c.scale_book) : std::nullopt;
  }
  static std::vector<Output> OutputsOf(const Candidate& c, const CtLayout& layout) {
    const Linear& l = c.linear;
    const bool nv = layout.format == CtFormat::kNvfp4;
    std::vector<Output> outputs = {
        {c.module + ".weight_packed", DType::kU8, {l.rows, l.cols / 2}},
        {c.module + ".weight_scale", nv ? DType::kF8E4M3 : DType::kU8, {l.rows, l.groups_across()}}};
    if (nv) outputs.push_back({c.module + ".weight_global_scale", DType::kF32, {1}});
    return outputs;
  }

  std::optional<float> global_;
};

// Why a codebook is no obstacle to a formula of codes and scales alone; empty if nothing is in the way.
std::string ObstacleToScales(const Candidate& c) {
  const Linear& l = c.linear;
  if (l.outliers != OutlierForm::kNone) return "it has outliers";
  if (l.z.form != OperandForm::kAbsent || l.o.form != OperandForm::kAbsent) return "it has zero-points or offsets";
  if (l.t.form != OperandForm::kAbsent) return "it has column scales";
  if (l.permutation) return "its columns are permuted";
  if (l.arithmetic != DType::kF32) return "its arithmetic is not f32";
  return {};
}

tl::unexpected<Error> Refuse(const std::string& reason) { return Fail(ErrorCode::kBadInput, "{}", reason); }

Result<CtLayout> FloatLayout(const Candidate& c) {
  const Linear& l = c.linear;
  CtLayout layout{CtFormat::kFloatQuantized, 8, true, false, "block", l.group_cols, l.group_rows};
  if (l.s.form == OperandForm::kNested) return Refuse("its scales are encoded");
  if (l.result != DType::kF32 && l.result != c.scale_type())
    return Refuse("its values are not rounded to the type of its scales");
  if (l.group_rows == l.rows && l.group_cols == l.cols && l.rows > 1) {
    layout.strategy = "tensor";
  } else if (l.group_rows == 1) {
    layout.strategy = l.group_cols == l.cols ? "channel" : "group";
  }
  if (layout.strategy == "group" && l.cols % l.group_cols != 0) return Refuse("its last groups are shorter");
  if (layout.strategy != "block") layout.group_rows = 0;
  if (layout.strategy == "tensor" || layout.strategy == "channel") layout.group_cols = 0;
  return layout;
}

Result<CtLayout> MicroscaledLayout(const Candidate& c) {
  const Linear& l = c.linear;
  if (!c.scale || c.scale->bits != 8 || !c.scale->codebook || c.scale->s.form != OperandForm::kAbsent ||
      c.scale->z.form != OperandForm::kAbsent || c.scale->o.form != OperandForm::kAbsent)
    return Refuse("its scales are not 8-bit codes");
  if (l.result == DType::kF16) return Refuse("its values are not rounded to bf16");
  CtLayout layout{CtFormat::kMxfp4, 4, true, false, "group", l.group_cols, 0};
  if (l.group_rows != 1 || l.cols % l.group_cols != 0) return Refuse("its groups are not equal parts of rows");
  if (l.group_cols == 32 && SameBook(c.scale_book, Float8Codebook(DType::kF8E8M0))) return layout;
  layout.format = CtFormat::kNvfp4;
  layout.strategy = "tensor_group";
  if (l.group_cols == 16 && GlobalScaleOf(c.scale_book)) return layout;
  return Refuse("its scales are neither powers of two over 32 columns nor E4M3 with a global scale over 16");
}

}  // namespace

Result<CtLayout> CtLayoutOf(const Candidate& c) {
  const Linear& l = c.linear;
  if (l.codebook) {
    if (auto obstacle = ObstacleToScales(c); !obstacle.empty()) return Refuse(obstacle);
    if (SameBook(c.codebook, Float8Codebook(DType::kF8E4M3))) return FloatLayout(c);
    if (SameBook(c.codebook, E2M1Codebook())) return MicroscaledLayout(c);
    return Refuse("its codebook is neither E4M3 nor E2M1");
  }
  if (auto obstacle = ObstacleToIntegers(c); !obstacle.empty()) return Refuse(obstacle);
  const auto codes = static_cast<float>(1 << l.bits);
  if (c.highest_zero >= codes) return Refuse("its zero-points are not codes");
  if (l.cols % l.group_cols != 0) return Refuse("its last groups are shorter");
  CtLayout layout;
  layout.bits = l.bits;
  layout.symmetric = c.lowest_zero == codes / 2 && c.highest_zero == codes / 2;
  layout.act_order = l.permutation;
  layout.strategy = l.group_cols == l.cols ? "channel" : "group";
  layout.group_cols = l.group_cols == l.cols ? 0 : l.group_cols;
  return layout;
}

std::shared_ptr<const PackedTensor> MakeCompressed(const Candidate& candidate, const CtLayout& layout) {
  if (layout.format == CtFormat::kPackQuantized) return std::make_shared<PackQuantized>(candidate, layout);
  if (layout.format == CtFormat::kFloatQuantized) return std::make_shared<FloatQuantized>(candidate, layout);
  return std::make_shared<Microscaled>(candidate, layout);
}

std::optional<float> GlobalScaleOf(const std::vector<float>& book) {
  constexpr size_t kOne = 0x38;  // the code of 1
  const std::vector<float> e4m3 = Float8Codebook(DType::kF8E4M3);
  if (book.size() != e4m3.size() || !(book[kOne] > 0) || !std::isfinite(1 / book[kOne])) return std::nullopt;
  // 1 / RN(1 / g) is g, or a neighbour of it.
  const auto near = std::bit_cast<uint32_t>(1 / book[kOne]);
  for (uint32_t step = 0; step < 9; ++step) {
    const auto global = std::bit_cast<float>(near + (step % 2 == 0 ? step / 2 : 0u - (step + 1) / 2));
    std::vector<float> divided = e4m3;
    for (float& entry : divided) entry /= global;
    if (std::isfinite(global) && SameBook(divided, book)) return global;
  }
  return std::nullopt;
}

}  // namespace ingot
