#pragma once

#include <memory>

#include <arrow/io/interfaces.h>

#include <interplay/base/files.h>

namespace interplay {

/// What Arrow writes into a file of ours. The file has to outlive it, and closing it leaves the file open. A failure is
/// a status that says "cannot be written: <why>", without the file's name.
std::shared_ptr<arrow::io::OutputStream> arrow_output(OutputFile& file);

}  // namespace interplay
