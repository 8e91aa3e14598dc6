// The stream of row blocks from a source to one file: read in order, encode in parallel, write in order.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/convert.h"
#include "convert/source_hasher.h"
#include "convert/tensor_writer.h"

namespace ingot {

// One tensor on its way, in the order of the source.
struct Job {
  const SourceTensor* tensor;
  Method method;
};

struct PipelineTotals {
  uint64_t done_bytes = 0;  // of the source, over all pipelines of a conversion
  uint64_t total_bytes = 0;
  uint64_t inexact_outliers = 0;
};

// Streams `jobs` into the sink. The same bytes for any number of threads. Errors name file, tensor and values; of
// several the one that comes first in the order of the source is returned.
Status RunPipeline(const Source& source, const std::vector<Job>& jobs, const ConvertOptions& options,
                   SourceHasher& hasher, TensorSink& sink, PipelineTotals& totals);

}  // namespace ingot
