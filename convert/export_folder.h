// What the exports to the folders of other systems share: which tensors they can hold, what goes beside the weights.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "convert/export_safetensors.h"
#include "format/status.h"
#include "runtime/model.h"

namespace ingot {

// A folder to be written: the weights, and small files that take the place of attachments of the same names.
struct FolderPlan {
  struct File {
    std::string name;
    std::string text;  // empty: neither this file nor the attachment is written
  };
  SafetensorsPlan weights;
  std::vector<File> files;
  std::vector<std::string> notes;  // sentences about who cannot load it
};

struct FolderOptions {
  std::vector<uint32_t> numbers;  // of the tensors to export, ascending
  std::optional<DType> dtype;     // of the dense ones
  bool requantize = false;        // what the system cannot hold is decoded instead of refused
};

// A quantized tensor that another system may be able to hold: what decides that, without its codes.
struct Candidate {
  uint32_t number = 0;
  std::string module;           // the tensor's name without ".weight"
  DType dtype = DType::kF32;    // of the source
  Linear linear;                // of its only part
  std::vector<float> codebook;  // empty: none
  std::optional<Linear> scale;  // the nested encoding of s
  std::vector<float> scale_book;
  bool whole_zeros = true;  // all zero-points are whole numbers,
  float lowest_zero = 0;    // between these
  float highest_zero = 0;
  std::string obstacle;  // why nobody can hold it; empty: somebody may

  // The type of its scales: that of their array, or one that a constant has without loss.
  DType scale_type() const;
};

// Why integer codes of this candidate cannot be held by a system that computes RN_T(s * (q - z)), T being the type of
// the scales; empty if they can. A result in f32 is allowed: such weights are rounded once, to T.
std::string ObstacleToIntegers(const Candidate& candidate);

// The tensors of an export.
struct FolderTensors {
  std::vector<Candidate> packed;
  std::vector<uint32_t> dense;
  std::vector<std::string> dense_modules;  // linear layers among them, in the order of their names
};

// Sorts them. What `obstacle` names for a quantized tensor is refused (kBadInput, with the tensor and its encoding), or
// decoded if the options say so.
Result<FolderTensors> SortTensors(const Model& model, const FolderOptions& options, std::string_view system,
                                  const std::function<std::string(const Candidate&)>& obstacle);

// The attached config.json (an empty object if there is none) with another "quantization_config".
Result<std::string> ConfigText(const Model& model, nlohmann::json quantization);

// For a folder of decoded weights: the attached config.json without its quantization, and what describes that taken
// out; nothing if no tensor is quantized, or if there is no such config.json.
std::vector<FolderPlan::File> DenseFiles(const Model& model);

// Plans for model.safetensors, config.json and what else describes the weights.
Result<FolderPlan> PlanGptq(const Model& model, const FolderOptions& options);
Result<FolderPlan> PlanCompressedTensors(const Model& model, const FolderOptions& options);

}  // namespace ingot
