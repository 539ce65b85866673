#pragma once

namespace interplay::tool {

/// Sees that descriptors 0 to 2 are taken, so that no file of ours becomes standard output where the program was
/// started without one, and that a limit on file sizes is an error of writing (EFBIG), not a signal that ends the
/// process.
void open_standard_streams();

/// Writes what is still buffered. Returns the exit status: 0, or 141 where the reader of a pipe has gone, as a shell
/// says it of programs that SIGPIPE ended. Throws Error(data) where standard output could not be written: an exit
/// status of 0 would say that the results are there.
int finish_standard_output();
/// The same for what a failed fmt::print() threw.
int failed_standard_output(int error);

}  // namespace interplay::tool
