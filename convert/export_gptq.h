// One quantized tensor in GPTQ's layout: qweight, qzeros, scales and g_idx, input column first.
#pragma once

#include "convert/export_folder.h"
#include "convert/packed_tensor.h"

namespace ingot {

// How the modules of one export are stored.
struct GptqExport {
  bool planar = false;  // fields in words of their own ("gptq_p"): 5, 6 and 7 bits have no other form
  // Zero-points are stored less one ("gptq"). Every reader knows this form, but only symmetric weights mean the same to
  // all of them; it alone can say 2^bits. What else has zero-points is "gptq_v2".
  bool plus_one = false;
  bool symmetric = false;  // all zero-points of all modules are 2^(bits - 1)

  // The value of checkpoint_format.
  std::string_view name() const { return planar ? "gptq_p" : plus_one ? "gptq" : "gptq_v2"; }
  CodeOrder OrderOf(int bits) const;
};

// Why a candidate cannot be stored; empty if it can.
std::string ObstacleToGptq(const Candidate& candidate);

std::shared_ptr<const PackedTensor> MakeGptq(const Candidate& candidate, const GptqExport& form);

}  // namespace ingot
