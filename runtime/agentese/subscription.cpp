#include "runtime/agentese/subscription.hpp"

#include <algorithm>
#include <utility>

namespace kgents::runtime::agentese {

namespace {

std::string_view name_of(event_gap::cause x) {
  switch (x) {
    case event_gap::cause::buffer_full:
      return "buffer_full";
    case event_gap::cause::not_retained:
      return "not_retained";
    case event_gap::cause::unknown_event:
      return "unknown_event";
  }
  return "buffer_full";
}

template <class Number>
void append_known(std::string& out, std::string_view name, Number x) {
  out += ",\"";
  out += name;
  out += "\":";
  out += x == 0 ? "null" : std::to_string(x);
}

}  // namespace

std::string_view to_string(delivery_mode x) noexcept {
  return x == delivery_mode::at_least_once ? "at_least_once" : "at_most_once";
}

std::string_view to_string(ordering_mode x) noexcept {
  return x == ordering_mode::global_clock ? "global_clock" : "per_path_fifo";
}

std::string event_gap::json() const {
  std::string out = R"({"reason":")";
  out += name_of(why);
  out += '"';
  append_known(out, "dropped", dropped);
  append_known(out, "from_seq", from_seq);
  append_known(out, "to_seq", to_seq);
  out += '}';
  return out;
}

subscription::subscription(subscription_config config,
                           std::shared_ptr<const afforded_check> afforded)
    : config_{std::make_unique<const subscription_config>(std::move(config))},
      afforded_{std::move(afforded)} {}

bool subscription::wanted(const agentese_event& x) const {
  return kgents::agentese::matches(config_->pattern, x.path) &&
         (config_->aspect_filter.empty() || config_->aspect_filter == x.shown_aspect());
}

subscription::offered subscription::offer(const event_ptr& x) {
  if (x->seq <= position_)
    return offered::ignored;
  if (x->seq > position_ + 1)
    missed({.why = event_gap::cause::not_retained, .from_seq = position_ + 1,
            .to_seq = x->seq - 1});
  position_ = x->seq;
  if (!wanted(*x))
    return offered::ignored;
  if (!has_room()) {
    missed({.why = event_gap::cause::buffer_full, .dropped = 1, .from_seq = x->seq,
            .to_seq = x->seq});
    return offered::dropped;
  }
  bytes_ += x->data.size();
  buffer_.push_back({x, std::move(gap_)});
  return offered::accepted;
}

void subscription::missed(const event_gap& gap) {
  position_ = std::max(position_, gap.to_seq);
  if (gap_ == nullptr) {
    gap_ = std::make_unique<event_gap>(gap);
    return;
  }
  // One gap for both: how many is known when it is known of both.
  gap_->dropped = gap_->dropped > 0 && gap.dropped > 0 ? gap_->dropped + gap.dropped : 0;
  gap_->to_seq = std::max(gap_->to_seq, gap.to_seq);
}

subscription::delivery subscription::deliver(event_ptr x, clock::time_point now, uint8_t times) {
  delivery out;
  out.again = times > 0;
  out.form.with_seq = config_->ordering == ordering_mode::global_clock;
  // A change is what `manifest` would show.
  const auto aspect =
      x->type == agentese_event_type::changed ? std::string_view{"manifest"} : x->aspect;
  out.form.redacted = afforded_ != nullptr && !x->data.empty() && !(*afforded_)(x->path, aspect);
  if (config_->delivery == delivery_mode::at_least_once)
    unacknowledged_.push_back({x, now, times});
  else
    forget(*x);
  out.event = std::move(x);
  return out;
}

std::optional<subscription::delivery> subscription::next(clock::time_point now) {
  if (!again_.empty()) {
    auto x = std::move(again_.front());
    again_.pop_front();
    return deliver(std::move(x.event), now, x.times);
  }
  if (buffer_.empty()) {
    if (gap_ == nullptr)
      return std::nullopt;
    delivery out;
    out.gap = *std::exchange(gap_, nullptr);
    return out;
  }
  if (unacknowledged_.size() >= config_->buffer_size)
    return std::nullopt;
  auto x = std::move(buffer_.front());
  buffer_.pop_front();
  auto out = deliver(std::move(x.event), now, 0);
  if (x.before != nullptr)
    out.gap = *x.before;
  return out;
}

void subscription::forget(const agentese_event& x) { bytes_ -= x.data.size(); }

bool subscription::acknowledge(const uuid& event) {
  for (auto* list : {&unacknowledged_, &again_}) {
    // Mostly the oldest is acknowledged, so this does not look far.
    const auto found = std::find_if(list->begin(), list->end(), [&](const sent& x) {
      return x.event->event_id == event;
    });
    if (found == list->end())
      continue;
    forget(*found->event);
    list->erase(found);
    return true;
  }
  return false;
}

size_t subscription::check_redelivery(clock::time_point now) {
  size_t given_up = 0;
  while (!unacknowledged_.empty() &&
         unacknowledged_.front().at + limits::redeliver_after <= now) {
    auto x = std::move(unacknowledged_.front());
    unacknowledged_.pop_front();
    if (x.times >= limits::redeliveries) {
      forget(*x.event);
      ++given_up;
    } else {
      ++x.times;
      again_.push_back(std::move(x));
    }
  }
  return given_up;
}

}  // namespace kgents::runtime::agentese
