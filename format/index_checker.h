// The validation pass over an index: every rule of spec/FORMAT.md that needs nothing but the index. Private to format/.
#pragma once

#include <string>
#include <vector>

#include "format/encoding.h"
#include "format/index.h"

namespace ingot {

// One pass, in the order of the spec. Not thread-safe; used once.
class IndexChecker {
 public:
  IndexChecker(Index& index, Report& report) : index_(index), report_(report) {}

  bool CheckDirectory();  // R-IDX-*; false: no table can be used
  bool CheckTilings();    // R-HEAP-1, R-PLN-*, R-FRM-*: false: neither heap nor planes can be used
  void CheckTensors();    // R-TEN-*, R-ENC-*, and each encoding's own rules
  void CheckOthers();     // metadata, attachments, shards, sources, dead ranges
  void CheckRegions();    // R-FILE-3

  std::vector<uint32_t>& bad_encodings() { return bad_encodings_; }

 private:
  bool CheckHeap();
  bool CheckPlane(uint32_t number, uint64_t next_chunk, uint64_t next_frame, uint64_t first_offset);
  bool CheckFrames(uint32_t number, const PlaneRecord& plane);
  bool AcceptPlain(uint32_t number, const TensorRecord& t);
  bool CheckTensor(uint32_t number, const TensorRecord& t);
  bool CheckShape(const std::string& place, const TensorRecord& t);
  bool CheckExtents(const std::string& place, const TensorRecord& t);
  bool CheckAlias(uint32_t number, const TensorRecord& t);
  void CheckParts(uint32_t number, const TensorRecord& t);
  bool CheckEncoding(uint32_t number, const TensorRecord& t, uint64_t elements);
  bool CheckGrandchildren(uint32_t number, const EncodingRecord& e, const TensorRecord& t);
  bool CheckCommon(uint32_t number, const EncodingRecord& e);
  bool CheckReserved(Table table, uint32_t number, uint32_t from, uint32_t size);
  void CheckOwners();
  void CheckMetadata();
  void CheckMetadataValue(const std::string& place, const MetadataRecord& record);
  void CheckAttachments();
  void CheckShards();
  void CheckSources();
  bool OwnPlane(uint32_t plane, const std::string& place);

  std::string PlaceOf(const TensorRecord& t, uint32_t number) const;

  Index& index_;
  Report& report_;
  std::vector<bool> owned_;          // planes with an owner
  std::vector<uint32_t> run_owner_;  // by first part of a run: the tensor it was first used by, plus one
  uint32_t next_part_ = 0;
  uint64_t next_encoding_ = 0;  // where the next root's children start
  bool part_order_broken_ = false;
  bool dead_order_broken_ = false;
  bool planes_follow_on_ = true;  // each plane starts right behind the one before
  uint64_t planes_end_ = kHeaderSize;
  std::vector<uint32_t> bad_encodings_;
};

// R-ENC-4 to R-ENC-6, R-RAW-1, R-LIN-*, R-NEST-*, R-FOR-* of one encoding: its payload against the number of its
// elements, its tensor's dtype and its planes. `parent`: of a child, else null. Reports at most one violation; true if
// there was none.
bool CheckEncodingContent(const Index& index, uint32_t number, const std::string& place, DType dtype, uint64_t elements,
                          const Linear* parent, Report& report);

}  // namespace ingot
