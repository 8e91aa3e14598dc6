// Ctrl-C and what else the operating system tells a command.
#pragma once

namespace ingot {

// From now on SIGINT and SIGTERM only ask the work to stop (a second one of them kills), and a pipe without reader or a
// file that may not grow is an error of the write. Standard streams that are closed are replaced, so that no file that
// is opened takes their place.
void SetUpProcess();

// Whether SIGINT or SIGTERM arrived. Thread-safe.
bool StopRequested();

}  // namespace ingot
