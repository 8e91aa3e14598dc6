// Writes the files that the tests in C use: make_files FOLDER
//   model.ingot     tensors of every kind, planes of several chunks, metadata, attachments
//   damaged.ingot   the same with one byte flipped in chunk 2 of "raw", in the codes of "linear" and in "notes.txt"
//   many.ingot      3000 small tensors
#include <fstream>
#include <iostream>

#include "tests/support/tensor_file.h"

namespace ingot::test {
namespace {

void Write(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << AsText(bytes);
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

Linear Of(int bits, uint64_t rows, uint64_t cols, uint64_t group) {
  Linear l;
  l.bits = bits;
  l.rows = rows, l.cols = cols;
  l.group_cols = group;
  l.s = Operand::Array(DType::kF16);
  l.z = Operand::Constant(static_cast<float>(1 << (bits - 1)));
  return l;
}

Bytes RawFloats(uint64_t count) {  // value i: (i mod 1009) / 8 - 60
  Bytes bytes;
  bytes.reserve(4 * count);
  for (uint64_t i = 0; i < count; ++i) Append(bytes, static_cast<float>(i % 1009) / 8.0f - 60.0f);
  return bytes;
}

void AddTensors(TensorFile& file, Dice& dice) {
  const auto linear = [&](const Linear& l) { return file.AddLinear(dice.Fill(l)); };
  file.Add("raw", DType::kF32, {2048, 640}, file.AddRaw(RawFloats(2048 * 640)));
  file.builder.AddAlias("tied", "raw");
  file.Compress(true);
  file.Add("framed", DType::kF32, {2048, 640}, file.AddRaw(RawFloats(2048 * 640), 4));
  file.Compress(false);
  file.Add("linear", DType::kF16, {1024, 3072}, linear(Of(4, 1024, 3072, 128)));
  Linear odd = Of(3, 96, 200, 40);
  odd.permutation = true;
  odd.outliers = OutlierForm::kUnstructured, odd.outlier_type = DType::kF16, odd.outlier_count = 150;
  file.Add("permuted", DType::kF32, {96, 200}, linear(odd));
  Linear nested = Of(4, 64, 512, 32);
  nested.s = Operand::Nested();
  file.Add("flat view", DType::kF32, {128, 96}, linear(Of(2, 1, 128 * 96, 64)));
  file.Add("nested", DType::kBF16, {64, 512}, linear(nested));
  std::vector<IndexBuilder::Part> experts, columns;
  for (int i = 0; i < 4; ++i) experts.push_back({1, linear(Of(4 + i, 64, 320, 64))});
  file.builder.AddTensor("experts", DType::kF32, {4, 64, 320}, 0, experts);
  for (uint64_t extent : {128, 192, 64}) columns.push_back({extent, linear(Of(4, 100, extent, 64))});
  file.builder.AddTensor("columns", DType::kF32, {100, 384}, 1, columns);
  file.Add("scalar", DType::kF32, {}, file.AddRaw(RawFloats(1)));
  file.Add("empty", DType::kF32, {4, 0}, file.AddRaw({}));
  Bytes numbers;
  for (int64_t i = 0; i < 60; ++i) Append(numbers, i * 1000 - 7);
  file.Add("numbers", DType::kI64, {6, 10}, file.AddRaw(numbers));
  const Bytes blocks(18 * 8, std::byte{3});
  file.Add("foreign", DType::kF16, {8, 32},
           file.builder.AddEncoding(EncodingKind::kForeign, EncodeForeign({18, 32, 256, "test.BLOCK"}),
                                    {file.image.Add(blocks)}));
  file.Add("unknown", DType::kF16, {8, 32},
           file.builder.AddEncodingRecord(77, kFlagRequired, {}, {file.image.Add(blocks), file.image.Add(blocks)}, {}));
}

void AddExtras(TensorFile& file) {
  file.builder.SetMetadata("answer", MetadataValue::I64(-42));
  file.builder.SetMetadata("author", MetadataValue::String("Jane"));
  MetadataValue words{MetadataType::kArray, MetadataType::kString, {}};
  for (std::string_view word : {"one", "", "three"}) {
    Append(words.bytes, static_cast<uint32_t>(word.size()));
    Append(words.bytes, AsBytes(word));
  }
  file.builder.SetMetadata("words", words);
  file.builder.AddAttachment("config.json", file.image.Add(AsBytes("{\"a\": 1}")));
  file.builder.AddAttachment("empty.txt", WrittenPlane{});
  file.builder.AddAttachment("notes.txt", file.image.Add(Bytes(3 << 20, std::byte{'n'})));
}

void Run(const std::string& folder) {
  TensorFile file;
  Dice dice(17, false);
  AddTensors(file, dice);
  AddExtras(file);
  Bytes image = file.Finish();
  Write(folder + "/model.ingot", image);
  Report report;
  const auto index = OpenIndex(image, file.image.header(), report);
  const auto flip = [&](const char* tensor, uint64_t byte) {
    const TensorRecord record = index->tensor(index->FindTensor(tensor).value());
    image[index->plane(index->encoding(index->part(record.first_part).encoding).first_plane).offset + byte] ^=
        std::byte{1};
  };
  flip("raw", (2 << 20) + 5);
  flip("linear", 1000);
  image[index->plane(index->attachment(2).plane).offset] ^= std::byte{1};
  Write(folder + "/damaged.ingot", image);

  TensorFile many;
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes;
    for (int k = 0; k < 16; ++k) Append(bytes, static_cast<float>(i * 16 + k));
    many.Add("t" + std::to_string(100000 + i), DType::kF32, {4, 4}, many.AddRaw(bytes));
  }
  Write(folder + "/many.ingot", many.Finish());
}

}  // namespace
}  // namespace ingot::test

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    ingot::test::Run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
