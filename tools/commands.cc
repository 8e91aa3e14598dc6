// What the options of all subcommands are. CLI11 takes many seconds to compile: it is included here and in main.cc
// only.
#include "tools/commands.h"

#include <memory>

#include "runtime/threads.h"
#include "tools/command.h"
#include "tools/threads.h"

namespace ingot {
namespace {

void AddThreadsOption(CLI::App* command, std::optional<int>& threads) {
  command->add_option("--threads", threads, "threads to use (default: INGOT_THREADS, else all cores)")
      ->type_name("N")
      ->check(CLI::Range(1, kMostThreads));
}

void AddMethodOptions(CLI::App* command, ConvertArguments& o) {
  command->add_option("--preset", o.preset, "a recipe by name; `ingot presets` lists them (default: none)");
  command->add_option("--recipe", o.recipe_file, "a recipe: a JSON file with an ordered list of rules");
  command->add_option("--method", o.method.method, "one method for all chosen tensors: linear, nf4, fp4, keep");
  command->add_option("--bits", o.method.bits, "1 to 8");
  command->add_option("--group-size", o.method.group_size, "columns per group, or channel, or tensor");
  command->add_flag("--symmetric", o.method.symmetric, "no zero-point");
  command->add_option("--zero-point", o.method.zero_point, "integer or float");
  command->add_option("--scale-dtype", o.method.scale_dtype, "f32, f16 or bf16");
  command->add_option("--clip", o.method.clip, "mse: search the range with the least squared error; or none");
  command->add_option("--outliers", o.method.outliers, "ratio of values kept exactly, 0.01 is 1 %");
  command->add_option("--outlier-kind", o.method.outlier_kind, "unstructured or columns");
  command->add_option("--include", o.include, "also quantize tensors whose name matches");
  command->add_option("--exclude", o.exclude, "keep tensors whose name matches as they are");
}

void AddConvert(CLI::App& app, Runner& runner) {
  const auto o = std::make_shared<ConvertArguments>();
  CLI::App* command = app.add_subcommand("convert", "Convert a checkpoint to an .ingot file");
  command
      ->add_option("SRC", o->source, "a Hugging Face folder, or a .safetensors, .gguf, .bin, .pt, .pth or .ingot file")
      ->required();
  command->add_option("DST", o->target, "the file to write")->required();
  AddMethodOptions(command, *o);
  command->add_option("--split-columns", o->convert.split_columns, "parts along the columns of each quantized tensor")
      ->check(CLI::Range(1, 65536));
  command->add_option("--shard-size", o->shard_size, "at most so many bytes per file, such as 4G; writes a manifest");
  command->add_option("--alignment", o->convert.alignment, "of planes in the file: a power of two from 64 to 2097152")
      ->check(CLI::IsMember(
          {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152}));
  command->add_flag("--compress", o->convert.compress, "zstd where it saves 5 % of a plane");
  command->add_flag("--sha256", o->convert.sha256, "record the SHA-256 of planes and sources too");
  command->add_flag("--verify", o->convert.verify,
                    "before the file gets its name: validate it, decode what was kept and compare it with the source");
  command->add_flag(
      "--requantize", o->requantize,
      "also quantize what the source has quantized already: it is decoded for it; needed for what cannot be kept "
      "exactly (int8-g128 where nothing else is given)");
  command->add_flag("--allow-nonfinite", o->convert.allow_nonfinite, "convert weights that hold NaN or infinity");
  AddThreadsOption(command, o->threads);
  command->add_flag("--dry-run", o->dry_run, "print what would be done with each tensor, and why");
  command->add_flag("--force", o->convert.force, "replace DST if it exists");
  command->add_flag("--quiet", o->quiet, "no progress, no summary");
  command->add_flag("--json", o->json, "the summary as JSON");
  runner.Add(command, [o] { return WithThreads(o->threads, [o] { return RunConvert(*o); }); });
}

void AddInspect(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("inspect", "Show what is in an .ingot file");
  auto options = std::make_shared<InspectArguments>();
  command->add_option("FILE", options->file, "the .ingot file, or the manifest of its shards")->required();
  auto* tensor =
      command->add_option("--tensor", options->tensor, "one tensor in detail: encoding, planes, figures, codes")
          ->type_name("NAME");
  auto* bytes =
      command->add_flag("--bytes", options->bytes, "annotated hex dump of header and index, also of a bad file");
  auto* json = command->add_flag("--json", options->json, "one JSON document on standard output");
  bytes->excludes(tensor)->excludes(json);
  AddThreadsOption(command, options->threads);
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunInspect(*options); }); });
}

void AddValidate(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("validate", "Check files against every rule of the format");
  auto options = std::make_shared<ValidateArguments>();
  command->add_option("FILE", options->files, ".ingot files; the shards of a manifest are checked with it")->required();
  command->add_flag("--structure-only", options->structure_only, "only header and index: no plane is read");
  command->add_flag("--json", options->json, "one JSON document on standard output");
  command->add_flag("--quiet", options->quiet, "print only what is wrong");
  AddThreadsOption(command, options->threads);
  command->footer(
      "Prints every violation with the number of its rule (spec/FORMAT.md, spec/ENCODINGS.md), the place and the "
      "values.\n"
      "Exit code 0 if all files are valid, 1 if one is not, 4 if one cannot be read.");
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunValidate(*options); }); });
}

void AddExport(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand(
      "export", "Write the tensors of an .ingot file as dense safetensors, or as another system stores them");
  auto options = std::make_shared<ExportArguments>();
  command->add_option("FILE", options->file, "the .ingot file")->required();
  command
      ->add_option(
          "DST", options->target,
          "the file to write, or a folder (existing, or ending in /) for model.safetensors or model.gguf and the "
          "attachments")
      ->required();
  command
      ->add_option("--format", options->format,
                   "safetensors (default), gguf (default if DST ends in .gguf); gptq, compressed-tensors: a folder")
      ->type_name("NAME")
      ->check(CLI::IsMember({"safetensors", "gguf", "gptq", "compressed-tensors"}));
  command
      ->add_option("--dtype", options->dtype,
                   "f32, f16 or bf16 for all floating tensors (default: each one's own dtype; raw tensors bit for bit)")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  command->add_flag("--requantize", options->requantize,
                    "what the format cannot hold as it is: decode it (gguf: to Q8_0, or to F16 where rows are not "
                    "multiples of 32), instead of refusing it by name");
  command->add_option("--include", options->include, "only tensors whose name matches, anywhere in it")
      ->type_name("REGEX");
  command->add_flag("--force", options->force, "replace what exists");
  command->add_flag("--quiet", options->quiet, "print nothing but errors");
  AddThreadsOption(command, options->threads);
  command->footer(
      "Tied tensors are written under each of their names, since safetensors has no aliases. GGUF gets the codes and\n"
      "scales as they are, in blocks of the type that has the same values; of a Llama checkpoint also its names, its\n"
      "configuration and its tokenizer. gptq and compressed-tensors compute in the type of the scales: weights whose\n"
      "values are f32 here are rounded once to it by whoever reads them. The file appears under its name when it is\n"
      "complete; until then it is .NAME.partial beside it.");
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunExport(*options); }); });
}

void AddDiff(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("diff", "Compare the values of two models, tensor by tensor");
  auto options = std::make_shared<DiffArguments>();
  command->add_option("A", options->a, "an .ingot file, a checkpoint file or a directory that holds one")->required();
  command->add_option("B", options->b, "the other one")->required();
  command->add_flag("--json", options->json, "one JSON document on standard output");
  command->add_flag("--quiet", options->quiet, "no progress");
  AddThreadsOption(command, options->threads);
  command->footer(
      "Relative error: ||a - b|| / ||a||. SQNR: 10 log10(||a||^2 / ||a - b||^2). Equal values of different dtypes are\n"
      "identical, NaN equals NaN, -0 equals 0. Tensors that are not floating are compared as bytes.\n"
      "Exit code 0 if all is identical, 1 if anything differs.");
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunDiff(*options); }); });
}

void AddEdit(CLI::App& app, Runner& runner) {
  const auto o = std::make_shared<EditArguments>();
  CLI::App* command = app.add_subcommand("edit", "Change metadata and attachments of an .ingot file in place");
  command->add_option("FILE", o->file, "the file to edit")->required();
  command->add_option("--set", o->set, "KEY=VALUE (a string) or KEY:TYPE=VALUE with bool, u8 to i64, f32, f64, string")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_option("--remove", o->remove, "a metadata key")->take_all()->expected(1)->allow_extra_args(false);
  command->add_option("--attach", o->attach, "NAME=PATH: attach a file under a name, or replace it")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_option("--detach", o->detach, "the name of an attachment")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_flag("--compact", o->compact, "rewrite the file without what edits left behind");
  command->add_flag("--quiet", o->quiet, "print nothing");
  command->add_flag("--json", o->json, "the outcome as JSON");
  runner.Add(command, [o] { return RunEdit(*o); });
}

void AddBench(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("bench", "Measure decoding, products, opening and verifying on this machine");
  auto options = std::make_shared<BenchArguments>();
  command->add_option("FILE", options->file, "an .ingot file whose tensors are measured (default: made-up weights)");
  command->add_option("--device", options->device, "cpu, or a GPU by its number: cuda, cuda:1, ... (default: cpu)")
      ->type_name("D");
  command
      ->add_option("--only", options->only,
                   "these sections, separated by commas: yardsticks, upload, decode, gemv, gemm, open, verify")
      ->delimiter(',')
      ->type_name("SECTION")
      ->check(CLI::IsMember({"yardsticks", "upload", "decode", "gemv", "gemm", "open", "verify"}));
  command->add_flag("--quick", options->quick, "small data and short windows: whether it works, not how fast");
  command->add_flag("--json", options->json, "one JSON document on standard output");
  command->add_flag("--quiet", options->quiet, "no progress");
  AddThreadsOption(command, options->threads);
  command->footer(kBenchHelp);
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunBench(*options); }); });
}

void AddPresets(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("presets", "List the presets of `ingot convert` and their recipes");
  auto o = std::make_shared<PresetsArguments>();
  command->add_flag("--json", o->json, "one JSON document: name, description and recipe of each");
  runner.Add(command, [o] { return RunPresets(*o); });
}

}  // namespace

void AddCommands(CLI::App& app, Runner& runner) {
  AddConvert(app, runner);
  AddInspect(app, runner);
  AddValidate(app, runner);
  AddExport(app, runner);
  AddDiff(app, runner);
  AddEdit(app, runner);
  AddPresets(app, runner);
  AddBench(app, runner);
}

}  // namespace ingot
