#include "tools/llama/npy.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "tools/llama/failure.h"
#include "tools/llama/ingot_file.h"

namespace llama {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = 65535;  // numpy's own readers accept 10,000

std::string ReadWhole(const std::string& path) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) Fail(kInputOutput, "{}: {}", path, std::strerror(errno));
  struct stat status {};
  if (fstat(fileno(file.get()), &status) == 0 && S_ISDIR(status.st_mode)) Fail(kInputOutput, "{}: is a folder", path);
  std::string bytes;
  std::vector<char> buffer(size_t{1} << 20);
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get()))
    bytes.append(buffer.data(), count);
  if (std::ferror(file.get())) Fail(kInputOutput, "{}: cannot read: {}", path, std::strerror(errno));
  return bytes;
}

struct Header {
  std::string_view descr;
  bool fortran = false;
  std::vector<uint64_t> shape;
};

// The header is the text of a Python dict: {'descr': '<u2', 'fortran_order': False, 'shape': (2, 256), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : left_(text), path_(path) {}

  Header Parse() {
    Header header;
    bool descr = false, fortran = false, shape = false;
    Expect('{');
    while (!Accept('}')) {
      const std::string_view key = Quoted();
      Expect(':');
      if (key == "descr" && !descr) {
        descr = true;
        header.descr = Quoted();
      } else if (key == "fortran_order" && !fortran) {
        fortran = true;
        header.fortran = Bool();
      } else if (key == "shape" && !shape) {
        shape = true;
        header.shape = Shape();
      } else {
        Refuse("a key that is not known, or stands twice");
      }
      if (!Accept(',') && Peek() != '}') Refuse("',' or '}' expected");
    }
    if (Peek() != '\0') Refuse("something after the dict");
    if (!descr || !fortran || !shape) Refuse("descr, fortran_order or shape is missing");
    return header;
  }

 private:
  [[noreturn]] void Refuse(std::string_view what) const {
    Fail(kBadInput, "{}: the header of the array: {}", path_, what);
  }
  char Peek() {
    while (!left_.empty() && (left_[0] == ' ' || left_[0] == '\n')) left_.remove_prefix(1);
    return left_.empty() ? '\0' : left_[0];
  }
  bool Accept(char c) {
    if (c != Peek()) return false;
    left_.remove_prefix(1);
    return true;
  }
  void Expect(char c) {
    if (!Accept(c)) Refuse(fmt::format("'{}' expected", c));
  }
  std::string_view Quoted() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') Refuse("a string expected");
    const size_t end = left_.find(quote, 1);
    if (end == std::string_view::npos) Refuse("a string that does not end");
    const std::string_view text = left_.substr(1, end - 1);
    left_.remove_prefix(end + 1);
    return text;
  }
  bool Bool() {
    Peek();
    for (const std::string_view word : {"False", "True"}) {
      if (!left_.starts_with(word)) continue;
      left_.remove_prefix(word.size());
      return word == "True";
    }
    Refuse("True or False expected");
  }
  std::vector<uint64_t> Shape() {
    std::vector<uint64_t> dims;
    Expect('(');
    while (!Accept(')')) {
      uint64_t dim = 0;
      Peek();
      const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), dim);
      if (error != std::errc()) Refuse("a dimension that is not a number below 2^64");
      left_.remove_prefix(static_cast<size_t>(end - left_.data()));
      dims.push_back(dim);
      if (!Accept(',') && Peek() != ')') Refuse("',' or ')' expected");
    }
    return dims;
  }

  std::string_view left_;
  const std::string& path_;
};

// The header's text, and the bytes after it.
std::string_view SplitHeader(std::string_view bytes, const std::string& path, std::string_view& data) {
  if (!bytes.starts_with(kMagic)) Fail(kBadInput, "{}: not an array as numpy saves it (.npy)", path);
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes[i])); };
  const size_t version = bytes.size() > 6 ? byte(6) : 0;
  const size_t before = version == 1 ? 10 : 12;  // the length has two bytes in version 1, four later
  if (bytes.size() < before) Fail(kBadInput, "{}: truncated: {} bytes", path, bytes.size());
  if (version < 1 || version > 3) Fail(kBadInput, "{}: version {} of .npy is not known", path, version);
  const size_t size = version == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (size > kMaxHeader) Fail(kBadInput, "{}: a header of {} bytes, at most {} are supported", path, size, kMaxHeader);
  if (size > bytes.size() - before)
    Fail(kBadInput, "{}: truncated: a header of {} bytes, {} are there", path, size, bytes.size() - before);
  data = bytes.substr(before + size);
  return bytes.substr(before, size);
}

template <typename T>
void Widen(std::string_view data, std::vector<int64_t>& out) {
  for (size_t at = 0; at < data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, data.data() + at, sizeof value);
    out.push_back(static_cast<int64_t>(value));
  }
}

struct Dtype {
  std::string_view name;
  uint64_t size;
  void (*widen)(std::string_view data, std::vector<int64_t>& out);
};
constexpr Dtype kDtypes[] = {{"<i4", 4, &Widen<int32_t>},
                             {"<i8", 8, &Widen<int64_t>},
                             {"<u2", 2, &Widen<uint16_t>},
                             {"<u4", 4, &Widen<uint32_t>}};

}  // namespace

Tokens ReadTokens(const std::string& path) {
  const std::string bytes = ReadWhole(path);
  std::string_view data;
  const Header header = HeaderParser(SplitHeader(bytes, path, data), path).Parse();
  const auto dtype =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.name == header.descr; });
  if (dtype == std::end(kDtypes))
    Fail(kBadInput, "{}: an array of dtype '{}'; supported: <i4, <i8, <u2, <u4", path, Printable(header.descr));
  const std::vector<uint64_t>& shape = header.shape;
  if (shape.size() != 1 && shape.size() != 2)
    Fail(kBadInput, "{}: an array of {} dimensions; supported: (tokens) and (windows, tokens)", path, shape.size());
  if (header.fortran && shape.size() == 2) Fail(kBadInput, "{}: an array in Fortran order is not supported", path);
  uint64_t count = 1;
  for (const uint64_t dim : shape) {
    if (__builtin_mul_overflow(count, dim, &count)) Fail(kBadInput, "{}: a shape beyond 2^64", path);
  }
  if (data.size() % dtype->size != 0 || data.size() / dtype->size != count)
    Fail(kBadInput, "{}: {} elements of {} bytes in the header, {} bytes are there", path, count, dtype->size,
         data.size());
  Tokens tokens;
  tokens.ids.reserve(count);
  dtype->widen(data, tokens.ids);
  tokens.windows = shape.size() == 2 ? shape[0] : 0;
  tokens.length = shape.back();
  return tokens;
}

FloatArrayFile::FloatArrayFile(const std::string& path, uint64_t rows, uint64_t columns)
    : path_(path), partial_(path + ".partial"), file_(std::fopen(partial_.c_str(), "wb")) {
  if (file_ == nullptr) FailWith(errno);
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  header.append(63 - (10 + header.size()) % 64, ' ').push_back('\n');  // the data begin at a multiple of 64
  const auto size = static_cast<unsigned>(header.size());
  const std::string start =
      std::string(kMagic) + '\1' + '\0' + static_cast<char>(size & 255) + static_cast<char>(size >> 8);
  std::fwrite(start.data(), 1, start.size(), file_);  // what fails here shows in Finish
  std::fwrite(header.data(), 1, header.size(), file_);
}

FloatArrayFile::~FloatArrayFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(partial_.c_str());
}

void FloatArrayFile::FailWith(int error) const {
  Fail(kInputOutput, "{}: cannot write: {}", path_, std::strerror(error));
}

void FloatArrayFile::Append(std::span<const float> values) {
  if (std::fwrite(values.data(), sizeof(float), values.size(), file_) != values.size()) FailWith(errno);
}

void FloatArrayFile::Finish() {
  const bool lost = std::ferror(file_) != 0;
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!lost && closed && std::rename(partial_.c_str(), path_.c_str()) == 0) return;
  const int error = errno;
  std::remove(partial_.c_str());
  FailWith(error);
}

}  // namespace llama
