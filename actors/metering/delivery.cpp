#include "actors/metering/delivery.hpp"

#include <algorithm>

namespace kgents::metering {

namespace {

/// Of an error's body in a reason: enough for a person to see what is wrong.
constexpr size_t reason_bytes = 300;

std::string excerpt(std::string_view body) {
  std::string out;
  for (const char c : body.substr(0, reason_bytes))
    out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? ' ' : c;
  return out;
}

verdict verdict_of(unsigned status) {
  if (status >= 200 && status < 300)
    return verdict::accepted;
  if (status == 400 || status == 413 || status == 422)
    return verdict::malformed;
  if (status == 408 || status == 429 || status >= 500)
    return verdict::later;
  return verdict::stop;
}

}  // namespace

judged judge(const outbound::http_result& x, std::chrono::system_clock::time_point now) {
  if (const auto* none = std::get_if<outbound::http_failure>(&x)) {
    const auto brief = "no answer: " + std::string{none->reason};
    return {verdict::later, {}, brief, brief};
  }
  const auto& answer = std::get<outbound::http_answer>(x);
  judged out;
  out.what = verdict_of(answer.status);
  if (out.what == verdict::accepted)
    return out;
  out.reason = out.brief = "status " + std::to_string(answer.status);
  if (!answer.body.empty())
    out.reason += ": " + excerpt(answer.body);
  if (out.what == verdict::later)
    out.retry_after = outbound::retry_after(answer.retry_after, now);
  return out;
}

std::chrono::milliseconds back_off::next() {
  const auto whole = std::min(longest, first * (int64_t{1} << std::min(failures_, 10u)));
  ++failures_;
  std::uniform_int_distribution<int64_t> half{0, whole.count() / 2};
  return std::max(first, whole / 2 + std::chrono::milliseconds{half(random_)});
}

delivery::delivery(size_t count, size_t most) : fates_(count, fate::open) {
  for (size_t at = 0; at < count; at += most)
    parts_.emplace_back(at, std::min(count, at + most));
  std::reverse(parts_.begin(), parts_.end());
}

std::optional<std::pair<size_t, size_t>> delivery::next() const {
  if (stopped_ || parts_.empty())
    return std::nullopt;
  return parts_.back();
}

void delivery::heard(const judged& x) {
  const auto [from, to] = parts_.back();
  const auto mark = [this, from = from, to = to](fate what) {
    std::fill(fates_.begin() + static_cast<std::ptrdiff_t>(from),
              fates_.begin() + static_cast<std::ptrdiff_t>(to), what);
  };
  switch (x.what) {
    case verdict::accepted:
      parts_.pop_back();
      mark(fate::sent);
      break;
    case verdict::malformed:
      parts_.pop_back();
      if (to - from == 1) {
        mark(fate::refused);
      } else {
        const auto middle = from + (to - from) / 2;
        parts_.emplace_back(middle, to);
        parts_.emplace_back(from, middle);
      }
      break;
    case verdict::later:
    case verdict::stop:
      stopped_ = x;
      break;
  }
}

}  // namespace kgents::metering
