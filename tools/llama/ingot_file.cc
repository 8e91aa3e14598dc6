#include "tools/llama/ingot_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tools/llama/failure.h"

namespace llama {
namespace {

// Attachments are read whole, so they need a limit: a config.json takes a few KiB.
constexpr uint64_t kMaxAttachment = uint64_t{16} << 20;

static_assert(std::endian::native == std::endian::little, "metadata lies in the file as little-endian values");

template <typename T>
double As(const ingot_metadata& found) {
  T value{};
  if (found.size == sizeof value) std::memcpy(&value, found.value, sizeof value);  // unaligned in the file
  return static_cast<double>(value);
}

}  // namespace

Tensor::Tensor(ingot_tensor* handle) : handle_(handle) {
  info_.struct_size = sizeof info_;
  Check(ingot_tensor_describe(handle_.get(), &info_));
}

std::string Tensor::name() const { return Printable({info_.name.data, info_.name.size}); }

bool Tensor::HasShape(std::initializer_list<uint64_t> shape) const {
  return std::equal(shape.begin(), shape.end(), info_.dims, info_.dims + info_.rank);
}

std::string Tensor::ShapeText() const {
  return fmt::format("[{}]", fmt::join(info_.dims, info_.dims + info_.rank, ", "));
}

void Tensor::DecodeRow(uint64_t row, std::span<float> out) const {
  ingot_slice slice{};
  slice.struct_size = sizeof slice;
  slice.row = row;
  slice.rows = 1;  // columns 0: all of them
  Check(ingot_tensor_decode(handle_.get(), &slice, INGOT_F32, out.data(), out.size_bytes(), 0));
}

std::vector<float> Tensor::DecodeAll() const {
  std::vector<float> values(info_.rows * info_.columns);
  Check(ingot_tensor_decode(handle_.get(), nullptr, INGOT_F32, values.data(), values.size() * sizeof(float), 0));
  return values;
}

void Tensor::Multiply(ingot_precision precision, const float* x, uint64_t count, float* y) const {
  ingot_product product{};  // zero is the default of every field
  product.struct_size = sizeof product;
  product.precision = static_cast<uint32_t>(precision);
  product.x_dtype = INGOT_F32;
  product.x = x;
  product.x_rows = count;
  product.y = y;
  Check(ingot_tensor_multiply(handle_.get(), nullptr, &product));
}

IngotFile::IngotFile(const std::string& path, ingot_verify verify, uint32_t threads) : path_(path) {
  ingot_open_options options{};
  options.struct_size = sizeof options;
  options.verify = static_cast<uint32_t>(verify);
  options.threads = threads;
  ingot_model* model = nullptr;
  const ingot_status opened = ingot_model_open(path.c_str(), &options, &model);
  // Of all that is handed in here only the environment can be at fault: INGOT_TARGET, INGOT_THREADS.
  if (opened == INGOT_E_ARGUMENT) throw Failure(kUsage, ingot_error_text());
  Check(opened);
  model_.reset(model);
}

std::optional<Tensor> IngotFile::Find(std::string_view name) const {
  uint32_t number = 0;
  const ingot_status found = ingot_tensor_find(model_.get(), name.data(), name.size(), &number);
  if (found == INGOT_E_NOT_FOUND) return std::nullopt;
  Check(found);
  ingot_tensor* tensor = nullptr;
  Check(ingot_tensor_open(model_.get(), number, &tensor));
  return Tensor(tensor);
}

std::optional<std::string> IngotFile::Attachment(std::string_view name) const {
  ingot_attachment attachment{};
  attachment.struct_size = sizeof attachment;
  uint32_t number = 0;
  const ingot_status found = ingot_attachment_find(model_.get(), name.data(), name.size(), &attachment, &number);
  if (found == INGOT_E_NOT_FOUND) return std::nullopt;
  Check(found);
  if (attachment.size > kMaxAttachment)
    Fail(kBadInput, "{}: {}: {} bytes, at most {} are supported", path_, name, attachment.size, kMaxAttachment);
  std::string bytes(attachment.size, '\0');
  Check(ingot_attachment_read(model_.get(), number, bytes.data(), bytes.size()));
  return bytes;
}

std::optional<ingot_metadata> IngotFile::Metadata(std::string_view key) const {
  ingot_metadata metadata{};
  metadata.struct_size = sizeof metadata;
  const ingot_status found = ingot_metadata_find(model_.get(), key.data(), key.size(), &metadata);
  if (found == INGOT_E_NOT_FOUND) return std::nullopt;
  Check(found);
  return metadata;
}

std::optional<double> IngotFile::Number(std::string_view key) const {
  const auto found = Metadata(key);
  if (!found) return std::nullopt;
  switch (found->type) {
    case INGOT_META_BOOL:
    case INGOT_META_U8:
      return As<uint8_t>(*found);
    case INGOT_META_I8:
      return As<int8_t>(*found);
    case INGOT_META_U16:
      return As<uint16_t>(*found);
    case INGOT_META_I16:
      return As<int16_t>(*found);
    case INGOT_META_U32:
      return As<uint32_t>(*found);
    case INGOT_META_I32:
      return As<int32_t>(*found);
    case INGOT_META_U64:
      return As<uint64_t>(*found);
    case INGOT_META_I64:
      return As<int64_t>(*found);
    case INGOT_META_F32:
      return As<float>(*found);
    case INGOT_META_F64:
      return As<double>(*found);
    default:
      Fail(kBadInput, "{}: metadata {} is not a single number", path_, key);
  }
}

std::optional<std::string> IngotFile::Text(std::string_view key) const {
  const auto found = Metadata(key);
  if (!found) return std::nullopt;
  if (found->type != INGOT_META_STRING) Fail(kBadInput, "{}: metadata {} is not a string", path_, key);
  return std::string(static_cast<const char*>(found->value), found->size);
}

std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

}  // namespace llama
