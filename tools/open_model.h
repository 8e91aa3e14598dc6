// Opens the .ingot file that a command was given.
#pragma once

#include <memory>
#include <string>

#include "format/status.h"
#include "runtime/model.h"

namespace ingot {

// Model::Open; the message about a file of another kind says what it is.
Result<std::shared_ptr<const Model>> OpenModel(const std::string& path);

}  // namespace ingot
