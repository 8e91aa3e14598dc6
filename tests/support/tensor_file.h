// Makes whole .ingot files of tensors that are made of plain numbers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/formula.h"
#include "tests/support/image_builder.h"

namespace ingot::test {

class TensorFile {
 public:
  // Raw planes from here on: compressed, where that makes them smaller.
  void Compress(bool on) { compress_ = on; }

  // An encoding and its children, planes and all.
  uint32_t AddLinear(const Numbers& n) {
    std::vector<uint32_t> children;
    for (int i = 0; i < 3; ++i) {
      if (n.operand(i).form == OperandForm::kNested)
        children.push_back(AddLinear(*n.groups[static_cast<size_t>(i)].nested));
    }
    std::vector<WrittenPlane> planes;
    for (const Bytes& plane : n.Planes()) planes.push_back(AddPlane(plane, 4));
    return builder.AddEncoding(EncodingKind::kLinear, EncodeLinear(n.linear), planes, children);
  }
  uint32_t AddRaw(ByteSpan bytes, int element_size = 1) {
    std::vector<WrittenPlane> planes;
    if (!bytes.empty()) planes.push_back(AddPlane(bytes, element_size));
    return builder.AddEncoding(EncodingKind::kRaw, {}, planes);
  }
  // A tensor of one part.
  void Add(const std::string& name, DType dtype, const std::vector<uint64_t>& shape, uint32_t encoding) {
    builder.AddTensor(name, dtype, shape, 0, {{shape.empty() ? 1 : shape[0], encoding}});
  }

  WrittenPlane AddPlane(ByteSpan bytes, int element_size) {
    if (!compress_) return image.Add(bytes);
    FrameEncoder encoder;  // a plane whose chunks all stay as they are may not have frames
    for (uint64_t at = 0; at < bytes.size(); at += kChunkSize) {
      if (encoder.Encode(ChunkOf(bytes, at / kChunkSize), element_size).method != FrameMethod::kStored)
        return image.AddFramed(bytes, element_size);
    }
    return image.Add(bytes);
  }

  Bytes Finish() { return image.Finish(builder); }

  ImageBuilder image;
  IndexBuilder builder;

 private:
  bool compress_ = false;
};

// Where the stored bytes of a plane of a finished image begin: the planes of a tensor's parts, without children,
// counted in their order.
inline uint64_t OffsetOfPlane(const Bytes& image, const Header& header, const std::string& tensor, uint32_t number) {
  Report report;
  const Index index = OpenIndex(image, header, report).value();
  const TensorRecord record = index.tensor(index.FindTensor(tensor).value());
  for (uint32_t p = record.first_part;; ++p) {
    const EncodingRecord e = index.encoding(index.part(p).encoding);
    if (number < e.plane_count) return index.plane(e.first_plane + number).offset;
    number -= e.plane_count;
  }
}

}  // namespace ingot::test
