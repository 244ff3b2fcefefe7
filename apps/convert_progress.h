// What `minke convert` says while it works.
#pragma once

#include <cstdint>
#include <string>

#include "apps/terminal.h"
#include "convert/convert.h"

namespace minke::apps {

/// "10.36 GB": decimal units, as disks are sold.
std::string size_text(uint64_t bytes);
/// "1:02:03", "2:03"; hours only where there are some.
std::string duration_text(double seconds);
/// "12.3 %, 1.20 GB of 9.76 GB, 250.00 MB/s, 0:34 left, blk.3.ffn_up_exps.weight"
std::string progress_text(const convert::Progress& progress);

/// The progress on stderr: one line that changes in place on a terminal, else a line now and then,
/// so that a log stays short.
class ConvertProgressLine {
 public:
  ConvertProgressLine();
  void show(const convert::Progress& progress);

 private:
  StatusLine line_;
  double next_ = 0;  ///< Seconds since the start of the conversion.
};

}  // namespace minke::apps
