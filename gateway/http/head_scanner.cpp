#include "gateway/http/head_scanner.hpp"

namespace kgents::gateway::http {

head_scanner::result head_scanner::scan(std::string_view in, size_t max_bytes) noexcept {
  const size_t end = in.size() < max_bytes ? in.size() : max_bytes;
  while (at_ < end) {
    const auto c = static_cast<unsigned char>(in[at_]);
    if (after_cr_) {
      if (c != '\n')
        return result::malformed;
      after_cr_ = false;
      ++at_;
      if (at_ - line_ == 2) {
        if (first_line_)
          return result::malformed;
        return result::complete;
      }
      first_line_ = false;
      line_ = at_;
      continue;
    }
    if (c == '\r')
      after_cr_ = true;
    else if (c == 0x7f || (c < 0x20 && (c != '\t' || first_line_)))
      return result::malformed;
    else if (at_ == line_ && (c == ' ' || c == '\t'))
      return result::malformed;  // obs-fold, or blanks before the first header
    ++at_;
  }
  if (in.size() < max_bytes)
    return result::incomplete;
  return first_line_ ? result::target_too_long : result::too_large;
}

}  // namespace kgents::gateway::http
