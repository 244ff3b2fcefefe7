// What happens when a mapped file becomes shorter, or its disk fails, while the program reads it.
#pragma once

namespace minke::apps {

/// The system then sends SIGBUS; from now on the program ends with one line, which names the file,
/// and exit code 74 instead of dying of the signal. Other causes of SIGBUS stay as they are.
void end_cleanly_on_lost_mapping() noexcept;

}  // namespace minke::apps
