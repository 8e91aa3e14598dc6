#include "convert/pipeline.h"

#include <tbb/concurrent_queue.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>

#include "convert/encoded_tensor.h"
#include "convert/io_bytes.h"
#include "convert/quantize/tensor_stats.h"
#include "convert/tensor_encoder.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

// Source bytes per block. Large enough to amortize a task, small enough that a dozen blocks in flight are a few MiB.
constexpr uint64_t kBlockBytes = 1 << 20;
// Of a tensor with strides: of a transposed one, a block takes one read for each stored row, however long the pieces.
constexpr uint64_t kStridedBlockBytes = 4 << 20;

// The size of a block of a tensor that is kept; of one with strides, whole rows or, if they are longer, elements.
uint64_t KeptBlockBytes(const SourceTensor& t) {
  if (t.strides.empty()) return kBlockBytes;
  const uint64_t row_bytes = MatrixCols(t) * InfoOf(t.dtype).size;
  return row_bytes > kStridedBlockBytes ? kStridedBlockBytes : kStridedBlockBytes / row_bytes * row_bytes;
}

// A piece of one tensor. Blocks are recycled: their memory stays warm.
struct Block {
  const Job* job = nullptr;
  std::shared_ptr<const TensorEncoder> encoder;  // null: kept as it is,
  std::shared_ptr<const EncodedTensor> kept;     // by this, unless its elements are read as they are
  uint64_t first_row = 0, rows = 0;              // of a quantized source tensor that is kept: its blocks
  bool last = false;                             // of its tensor
  uint64_t source_bytes = 0;                     // for the progress
  IoBytes source;
  EncodedBlock encoded;
  Status status;
};

class Pipeline {
 public:
  Pipeline(const Source& source, const std::vector<Job>& jobs, const ConvertOptions& options, SourceHasher& hasher,
           TensorSink& sink, PipelineTotals& totals)
      : source_(source), jobs_(jobs), options_(options), hasher_(hasher), sink_(sink), totals_(totals) {}

  Status Run() {
    const size_t tokens = 2 * static_cast<size_t>(tbb::this_task_arena::max_concurrency()) + 2;
    tbb::parallel_pipeline(
        tokens,
        tbb::make_filter<void, Block*>(tbb::filter_mode::serial_in_order,
                                       [this](tbb::flow_control& fc) { return Next(fc); }) &
            tbb::make_filter<Block*, Block*>(tbb::filter_mode::parallel, [](Block* block) { return Encode(block); }) &
            tbb::make_filter<Block*, void>(tbb::filter_mode::serial_in_order, [this](Block* block) { Write(block); }));
    return status_;
  }

 private:
  // ---- first stage: reading, in order

  Block* Take() {
    Block* block = nullptr;
    if (free_.try_pop(block)) return block;
    blocks_.push_back(std::make_unique<Block>());
    return blocks_.back().get();
  }

  Block* Next(tbb::flow_control& fc) {
    if (stop_.load(std::memory_order_relaxed) || job_ == jobs_.size()) {
      fc.stop();
      return nullptr;
    }
    Block* block = Take();
    block->status = Fill(*block);
    if (!block->status) job_ = jobs_.size();  // the error travels down in its place in the order
    return block;
  }

  Status Fill(Block& block) {
    const Job& job = jobs_[job_];
    block.job = &job;
    if (next_row_ == 0) {
      if (auto started = StartTensor(job); !started) return started;
    }
    block.encoder = encoder_;
    block.kept = kept_;
    block.source_bytes = 0;
    block.first_row = next_row_;
    block.rows = std::min(block_rows_, rows_ - next_row_);
    next_row_ += block.rows;
    block.last = next_row_ == rows_;
    const SourceTensor& t = *job.tensor;
    // The share of a quantized tensor's bytes; of any other, its bytes.
    if (rows_ != 0) block.source_bytes = t.size / rows_ * block.rows + (block.last ? t.size % rows_ : 0);
    if (auto read = ReadRows(block); !read) return read;
    if (block.last) {
      ++job_;
      next_row_ = 0;
    }
    return {};
  }

  Status ReadRows(Block& block) {
    const SourceTensor& t = *block.job->tensor;
    block.source.clear();
    if (block.kept) {
      // The second stage reads what it needs of its own. The file is hashed up to there meanwhile: it comes from the
      // disk once.
      if (auto prepared = block.kept->Prepare(block.first_row, ahead_); !prepared) return prepared;
      const uint64_t done = block.last ? t.size : t.size / rows_ * (block.first_row + block.rows);
      return hasher_.Update(t.file, std::min(t.offset + done, source_.files()[t.file].size), {});
    }
    block.source.resize(block.rows * row_bytes_);
    if (t.encoded != nullptr || !t.strides.empty()) {
      const uint64_t size = InfoOf(t.dtype).size;
      return ReadElements(source_, t, block.first_row * row_bytes_ / size, block.source.size() / size, block.source);
    }
    const uint64_t offset = t.offset + block.first_row * row_bytes_;
    if (auto read = source_.Read(t.file, offset, block.source); !read) return read;
    return hasher_.Update(t.file, offset, block.source);
  }

  // For a tensor that is kept, a row is a byte, so that one of any size can be cut anywhere; for one that is kept as
  // its source encoded it, a block.
  Status StartTensor(const Job& job) {
    const SourceTensor& t = *job.tensor;
    encoder_ = nullptr;
    kept_ = nullptr;
    if (job.method.kind == MethodKind::kKeep) {
      if (auto chosen = ChooseForm(t); !chosen) return chosen;
      row_bytes_ = 1;
      rows_ = kept_ ? kept_->block_count() : t.size;
      block_rows_ = kept_ ? 1 : KeptBlockBytes(t);
      return {};
    }
    rows_ = MatrixRows(t);
    row_bytes_ = MatrixCols(t) * InfoOf(t.dtype).size;
    block_rows_ = std::max<uint64_t>((t.strides.empty() ? kBlockBytes : kStridedBlockBytes) / row_bytes_, 1);
    auto encoder = MakeEncoder(job);
    if (!encoder) return Propagate(encoder);
    encoder_ = std::move(*encoder);
    return {};
  }

  // How a quantized tensor is kept: as it is, or in parts.
  Status ChooseForm(const SourceTensor& t) {
    kept_ = t.encoded;
    if (!kept_ || options_.split_columns == 1) return {};
    auto split = kept_->SplitColumns(options_.split_columns);
    if (!split) return Propagate(split);
    if (*split) kept_ = std::move(*split);
    return {};
  }

  // Reads the whole tensor, as f32 rows in order.
  template <typename Use>
  Status ForRows(const SourceTensor& t, Use&& use) {
    std::vector<float> values;
    std::vector<std::byte> bytes;
    const uint64_t cols = MatrixCols(t);
    for (uint64_t row = 0; row < rows_; row += block_rows_) {
      if (stop_.load(std::memory_order_relaxed) || !TellProgress(0)) return Interrupted();
      const uint64_t count = std::min(block_rows_, rows_ - row);
      bytes.resize(count * row_bytes_);
      values.resize(count * cols);
      if (auto read = ReadElements(source_, t, row * cols, count * cols, bytes); !read) return read;
      WidenToF32(t.dtype, bytes.data(), count * cols, values.data());
      use(values.data(), row, count);
    }
    return {};
  }

  Result<std::shared_ptr<const TensorEncoder>> MakeEncoder(const Job& job) {
    const SourceTensor& t = *job.tensor;
    TensorStats stats(job.method, t.dtype, rows_, MatrixCols(t));
    while (stats.NeedsPass()) {
      if (auto fed = ForRows(t, [&](const float* values, uint64_t, uint64_t count) { stats.AddRows(values, count); });
          !fed)
        return Propagate(fed);
      stats.EndPass();
    }
    auto quantizer = GroupQuantizer::Create(job.method, t.dtype, MatrixCols(t), stats.fit(), options_.allow_nonfinite);
    if (!quantizer)
      return tl::unexpected(Error{quantizer.error().code,
                                  fmt::format("tensor '{}': {}", ingot::Escape(t.name), quantizer.error().message)});
    const std::vector<uint64_t> cuts = SplitColumns(MatrixCols(t), quantizer->group_cols(), options_.split_columns);
    std::vector<uint64_t> outliers(cuts.size() - 1);
    if (cuts.size() == 2) {
      outliers[0] = stats.fit().outlier_count;
    } else if (stats.fit().outlier_count != 0) {
      if (auto counted = CountOutliers(t, stats.fit(), cuts, outliers); !counted) return Propagate(counted);
    }
    return std::make_shared<const TensorEncoder>(t, std::move(*quantizer), cuts, outliers);
  }

  // How many unstructured outliers lie in each range of columns: the planes of each part are placed before they are
  // filled.
  Status CountOutliers(const SourceTensor& t, const TensorFit& fit, const std::vector<uint64_t>& cuts,
                       std::vector<uint64_t>& counts) {
    const uint64_t cols = MatrixCols(t);
    return ForRows(t, [&](const float* values, uint64_t first_row, uint64_t count) {
      for (uint64_t r = 0; r < count; ++r) {
        for (size_t part = 0; part + 1 < cuts.size(); ++part) {
          for (uint64_t c = cuts[part]; c < cuts[part + 1]; ++c) {
            const float v = values[r * cols + c];
            counts[part] +=
                std::isfinite(v) && fit.IsOutlier(std::bit_cast<uint32_t>(v) & 0x7FFFFFFFu, (first_row + r) * cols + c);
          }
        }
      }
    });
  }

  // ---- second stage: encoding, in any order

  static Block* Encode(Block* block) {
    if (!block->status) return block;
    if (block->encoder) {
      block->status = block->encoder->Encode(block->source.data(), block->first_row, block->rows, block->encoded);
    } else if (block->kept) {
      std::vector<EncodedPart>& parts = block->encoded.parts;
      parts.resize(std::max<size_t>(block->kept->plan().parts.size(), 1));
      for (EncodedPart& part : parts) part.Clear();
      block->status = block->kept->Encode(block->first_row, parts);
    }
    return block;
  }

  // ---- third stage: writing, in order

  void Write(Block* block) {
    if (status_) {
      if (auto written = WriteBlock(*block); !written) {
        status_ = std::move(written);
        stop_ = true;
      }
    }
    free_.push(block);
  }

  Status WriteBlock(Block& block) {
    const SourceTensor& t = *block.job->tensor;
    if (!block.status) {
      const Error& e = block.status.error();
      const bool named = e.message.find(source_.files()[t.file].name) != std::string::npos;
      return tl::unexpected(
          Error{e.code, named ? e.message : fmt::format("{}: {}", source_.files()[t.file].path, e.message)});
    }
    if (!writer_) {
      encoder_of_writer_ = block.encoder;
      kept_of_writer_ = block.kept;
      if (!block.encoder && !block.kept)
        raw_plan_.verbatim = VerbatimPlan::Plain(EncodingKind::kRaw, {}, {t.size, InfoOf(t.dtype).size}, t.shape);
      writer_.emplace(sink_, t, block.encoder ? block.encoder->plan() : block.kept ? block.kept->plan() : raw_plan_);
    }
    const bool parts = block.encoder || block.kept;
    if (auto written = parts ? writer_->Append(block.encoded.parts) : writer_->AppendBytes(block.source); !written)
      return written;
    if (block.encoder) totals_.inexact_outliers += block.encoded.inexact_outliers;
    if (block.last) {
      if (auto finished = writer_->Finish(); !finished) return finished;
      writer_.reset();
    }
    return TellProgress(block.source_bytes) ? Status{} : Interrupted();
  }

  // From the first stage as well as from the third: a pass over a whole tensor must be stoppable too.
  bool TellProgress(uint64_t bytes) {
    const std::lock_guard lock(progress_mutex_);
    totals_.done_bytes += bytes;
    return KeepGoing(options_.progress, totals_.done_bytes, totals_.total_bytes);
  }

  const Source& source_;
  const std::vector<Job>& jobs_;
  const ConvertOptions& options_;
  SourceHasher& hasher_;
  TensorSink& sink_;
  PipelineTotals& totals_;

  std::vector<std::unique_ptr<Block>> blocks_;  // of the first stage, which is serial
  tbb::concurrent_queue<Block*> free_;
  std::atomic<bool> stop_{false};
  std::mutex progress_mutex_;

  // Of the first stage.
  size_t job_ = 0;
  uint64_t next_row_ = 0, rows_ = 0, row_bytes_ = 1, block_rows_ = 1;
  std::shared_ptr<const TensorEncoder> encoder_;
  std::shared_ptr<const EncodedTensor> kept_;
  ReadAhead ahead_{
      [this](uint32_t file, uint64_t offset, ByteSpan bytes) { return hasher_.Update(file, offset, bytes); }};

  // Of the third.
  std::shared_ptr<const TensorEncoder> encoder_of_writer_;  // it, the next one or the third have the plan
  std::shared_ptr<const EncodedTensor> kept_of_writer_;
  TensorPlan raw_plan_;
  std::optional<TensorWriter> writer_;
  Status status_;
};

}  // namespace

Status RunPipeline(const Source& source, const std::vector<Job>& jobs, const ConvertOptions& options,
                   SourceHasher& hasher, TensorSink& sink, PipelineTotals& totals) {
  return Pipeline(source, jobs, options, hasher, sink, totals).Run();
}

}  // namespace ingot
