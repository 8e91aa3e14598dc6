// A checkpoint to convert: what it holds, and its bytes on request. One class per kind of checkpoint implements it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "convert/byte_source.h"
#include "format/bytes.h"
#include "format/dtype.h"
#include "format/hash.h"
#include "format/index_builder.h"
#include "format/status.h"

namespace ingot {

class EncodedTensor;

// One tensor of a source: dense, `size` bytes, row-major at `offset` of file `file` unless it has strides; or
// quantized.
struct SourceTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;  // up to 8 dimensions; empty for a scalar
  uint32_t file;                // index into files(); of a quantized one, where its codes are
  uint64_t offset;              // of the first element
  uint64_t size;                // of all elements; of a quantized one, in the source, of all that belongs to it
  std::shared_ptr<const EncodedTensor> encoded = nullptr;  // if it is quantized
  std::vector<uint64_t> strides = {};  // how far apart elements of each dimension lie, in elements; empty: row-major
};

// Rows and columns of the matrix that a tensor is quantized as: the last dimension, and the product of the others.
uint64_t MatrixRows(const SourceTensor& tensor);
uint64_t MatrixCols(const SourceTensor& tensor);

// A file that tensors come from.
struct SourceFile {
  std::string name;  // the last component of its path: what is recorded as provenance
  std::string path;
  uint64_t size;
};

// A file that is carried along verbatim (config.json, tokenizer.json, ...).
struct SourceAttachment {
  std::string name;  // the last component
  std::string path;  // empty if it is no file of its own
};

// A file that another one was made from, as that one says.
struct SourceOrigin {
  std::string name;
  uint64_t size;
  Hash128 hash;
  std::optional<Sha256> sha256;
};

using SourceMetadata = std::vector<std::pair<std::string, MetadataValue>>;

// Read-only and thread-safe once opened.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::string_view kind() const = 0;  // "safetensors", as messages name it
  // The system that quantized its tensors ("GPTQ"), or nothing.
  virtual std::string_view quantization() const { return {}; }
  virtual const std::vector<SourceFile>& files() const = 0;
  // In the order of (file, offset): reading them in this order reads each file from front to back. Names are unique.
  virtual const std::vector<SourceTensor>& tensors() const = 0;
  virtual const std::vector<SourceAttachment>& attachments() const = 0;
  // The bytes of attachment number `i`; what it returns owns all that it needs. Errors: kIo.
  virtual Result<ByteSource> OpenAttachment(size_t i) const;
  // Key/value pairs of the source (safetensors' __metadata__), sorted by key.
  virtual const SourceMetadata& metadata() const = 0;
  // What is put before these keys in the new file.
  virtual std::string metadata_prefix() const { return std::string(kind()) + "."; }
  // If the source was itself made from others and says from which: they are recorded in the place of its own files.
  virtual std::optional<std::vector<SourceOrigin>> origins() const { return std::nullopt; }
  // Whether it records SHA-256 values, so that the new file does too.
  virtual bool has_sha256() const { return false; }
  // Reads bytes of a source file; kBadInput if it is shorter than it was, kIo if it cannot be read.
  virtual Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const = 0;
};

// Elements [first, first + count) of a tensor in its dtype: its bytes, or what a quantized one decodes to.
Status ReadElements(const Source& source, const SourceTensor& tensor, uint64_t first, uint64_t count,
                    std::span<std::byte> out);

// Opens any source, detected by content, not by extension: a directory in the Hugging Face layout
// (convert/huggingface.h), a .safetensors, .gguf, PyTorch or .ingot file. Everything in the headers is checked before
// this returns. Errors: kIo, kBadInput; each names the file, the tensor and the values.
Result<std::unique_ptr<Source>> OpenSource(const std::string& path);

}  // namespace ingot
