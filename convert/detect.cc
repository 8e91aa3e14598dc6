#include "convert/detect.h"

#include <algorithm>
#include <array>
#include <span>

#include "convert/safetensors.h"

namespace ingot {
namespace {

struct KindRow {
  FileKind kind;
  std::string_view name;
  bool is_checkpoint;
  std::string_view magic;  // its first bytes; empty: recognised another way
};

constexpr std::array kKinds = {
    KindRow{FileKind::kUnknown, "unknown file", false, ""},
    KindRow{FileKind::kEmpty, "empty file", false, ""},
    KindRow{FileKind::kSafetensors, "safetensors file", true, ""},
    KindRow{FileKind::kGguf, "GGUF file", true, "GGUF"},
    KindRow{FileKind::kIngot, "Ingot file", true, "\x89INGOT\r\n"},
    KindRow{FileKind::kZip, "zip archive (PyTorch checkpoint)", true, "PK\x03\x04"},
    KindRow{FileKind::kPickle, "pickle (PyTorch checkpoint)", true, ""},
    KindRow{FileKind::kTar, "tar archive", false, ""},
    KindRow{FileKind::kJson, "JSON text", false, ""},
    KindRow{FileKind::kGitLfsPointer, "Git LFS pointer", false, "version https://git-lfs.github.com/spec/"},
};

constexpr bool RowsAreInOrder() {
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<size_t>(kKinds[i].kind) != i) return false;
  }
  return true;
}
static_assert(RowsAreInOrder());

constexpr std::string_view kJsonSpace = " \t\r\n";

// A u64 and a JSON object behind it. The length is left to the header's reader, which says what is wrong with it,
// except where nothing but space is in sight.
bool LooksLikeSafetensors(std::string_view head) {
  if (head.size() <= sizeof(uint64_t)) return false;
  const auto length = Load<uint64_t>(AsBytes(head).data());
  const size_t first = head.find_first_not_of(kJsonSpace, sizeof(uint64_t));
  return first == std::string_view::npos ? length <= kMaxSafetensorsHeader : head[first] == '{';
}

// The PROTO opcode of protocols 2 to 5.
bool LooksLikePickle(std::string_view head) {
  return head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
}

// The magic in the header of the first member.
bool LooksLikeTar(std::string_view head) { return head.size() >= 262 && head.substr(257, 5) == "ustar"; }

// Text from the first byte on, so that a length in front of a safetensors header is not taken for it.
bool LooksLikeJson(std::string_view head) {
  const size_t first = head.find_first_not_of(kJsonSpace);
  return first != std::string_view::npos && (head[first] == '{' || head[first] == '[') &&
         head.find('\0') == std::string_view::npos;
}

}  // namespace

std::string_view NameOf(FileKind kind) { return kKinds[static_cast<size_t>(kind)].name; }

bool IsCheckpoint(FileKind kind) { return kKinds[static_cast<size_t>(kind)].is_checkpoint; }

Result<FileKind> DetectKind(const ByteSource& source) {
  if (source.size == 0) return FileKind::kEmpty;
  std::array<char, 4096> buffer;
  const auto out = std::span(buffer).first(std::min<uint64_t>(source.size, buffer.size()));
  if (auto read = source.read(0, std::as_writable_bytes(out)); !read) return Propagate(read);
  const std::string_view head(out.data(), out.size());
  for (const KindRow& row : kKinds) {
    if (!row.magic.empty() && head.starts_with(row.magic)) return row.kind;
  }
  if (LooksLikeTar(head)) return FileKind::kTar;
  if (LooksLikeJson(head)) return FileKind::kJson;
  if (LooksLikeSafetensors(head)) return FileKind::kSafetensors;
  if (LooksLikePickle(head)) return FileKind::kPickle;
  return FileKind::kUnknown;
}

}  // namespace ingot
