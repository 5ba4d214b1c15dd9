#include "actors/billing/stripe_api.hpp"

#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <random>

#include "actors/billing/stripe_event.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::billing {

namespace json = boost::json;

namespace {

/// The version whose shapes we read; without it an account's default would decide.
constexpr std::string_view api_version = "2024-06-20";

constexpr std::chrono::milliseconds call_deadline{10'000};
/// Of what Stripe asks us to wait; a client waits with us.
constexpr std::chrono::milliseconds longest_pause{5000};
constexpr size_t most_message_bytes = 500;

refusal busy() {
  return {503, "The payment provider is busy or cannot be reached. Try again.", 5,
          "billing_unavailable"};
}

/// What Stripe says to whoever pays; it names no secret, and is cut to a sane length.
std::string message_of(const json::object& error) {
  auto out = text_of(error, "message");
  if (out.size() > most_message_bytes) {
    out.resize(most_message_bytes);
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80)
      out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0)
      out.pop_back();
  }
  return out.empty() ? "The payment provider refused this." : out;
}

refusal refused(unsigned status, const json::object& error) {
  const auto code = text_of(error, "code");
  switch (status) {
    case 402:
      return {402, message_of(error), 0, code.empty() ? "card_declined" : code};
    case 404:
      return {404, message_of(error), 0, "billing_not_found"};
    case 409:
      return {409, "The same request is under way. Try again.", 1, "billing_conflict"};
    case 400:
      if (text_of(error, "type") == "idempotency_error")
        return {409, "The Idempotency-Key was used for another request", 0, "billing_conflict"};
      return {400, message_of(error), 0, "billing_invalid"};
    case 429:
      return busy();
    default:
      break;
  }
  // 401 and 403 are about our key: the operator's concern, and what Stripe says may show part of
  // it.
  if (status == 401 || status == 403)
    return {502, "The payment provider does not accept this server's key.", 0,
            "billing_misconfigured"};
  return {502, "The payment provider failed.", 0, "billing_provider_failed"};
}

}  // namespace

bool worth_repeating(const outbound::http_result& got) noexcept {
  const auto* x = std::get_if<outbound::http_answer>(&got);
  return x == nullptr || x->status == 409 || x->status == 429 || x->status >= 500;
}

stripe_result read_stripe_answer(const outbound::http_result& got) {
  const auto* x = std::get_if<outbound::http_answer>(&got);
  if (x == nullptr)
    return busy();
  boost::system::error_code bad;
  auto body = json::parse(x->body, bad);
  const bool sound = !bad && body.is_object();
  if (x->status >= 400)
    return refused(x->status, sound ? object_of(body.get_object(), "error") : json::object{});
  if (!sound || x->status >= 300)
    return refused(500, {});
  return std::move(body.get_object());
}

/// One call with its repetitions. Holds itself until it has ended.
class stripe_api::running : public std::enable_shared_from_this<running> {
public:
  running(stripe_api& api, runtime::io_thread& thread, stripe_request what,
          std::function<void(stripe_result)> done)
      : client_{api.client_},
        thread_{thread},
        pause_{api.pause_},
        calls_{api.calls_},
        what_{std::move(what)},
        done_{std::move(done)} {
    lines_ = api.header_lines_;
    if (!what_.idempotency_key.empty())
      lines_ += "Idempotency-Key: " + what_.idempotency_key + "\r\n";
  }
  ~running() { --*calls_; }

  void start() {
    self_ = shared_from_this();
    timer_.on_fire([this] { send(); });
    send();
  }

private:
  void send() {
    ++attempt_;
    outbound::http_request out;
    out.method = what_.method;
    out.target = what_.target;
    out.header_lines = lines_;
    out.body = what_.form;
    out.deadline = call_deadline;
    client_.call(thread_, std::move(out),
                 [self = shared_from_this()](outbound::http_result got) { self->heard(got); });
  }

  void heard(const outbound::http_result& got) {
    if (attempt_ < most_attempts && worth_repeating(got)) {
      thread_.wheel().arm(timer_, pause_before_next(got));
      return;
    }
    auto result = read_stripe_answer(got);
    if (const auto* no = std::get_if<refusal>(&result); no != nullptr && no->status >= 500) {
      const auto* x = std::get_if<outbound::http_answer>(&got);
      log::error("a call of Stripe's API failed",
                 {{"target", what_.target.substr(0, what_.target.find('?'))},
                  {"status", x != nullptr ? x->status : 0u},
                  {"reason", x != nullptr ? "answer" : std::get<1>(got).reason},
                  {"attempts", attempt_}});
    }
    const auto keep = std::move(self_);
    if (auto done = std::exchange(done_, nullptr))
      done(std::move(result));
  }

  [[nodiscard]] std::chrono::milliseconds pause_before_next(
      const outbound::http_result& got) const {
    static thread_local std::minstd_rand random{std::random_device{}()};
    const auto base = pause_.count() * attempt_;
    std::chrono::milliseconds out{std::uniform_int_distribution<int64_t>{base / 2, base}(random)};
    if (const auto* x = std::get_if<outbound::http_answer>(&got); x != nullptr)
      out = std::max<std::chrono::milliseconds>(
          out, outbound::retry_after(x->retry_after, std::chrono::system_clock::now()));
    return std::min(out, longest_pause);
  }

  const outbound::http_client client_;  // a handle; the call may outlive its stripe_api
  runtime::io_thread& thread_;
  const std::chrono::milliseconds pause_;
  const std::shared_ptr<std::atomic<size_t>> calls_;
  const stripe_request what_;
  std::string lines_;
  std::function<void(stripe_result)> done_;
  std::shared_ptr<running> self_;
  runtime::wheel_timer timer_;
  int attempt_ = 0;
};

stripe_api::stripe_api(const runtime::stripe_settings& config, std::chrono::milliseconds pause)
    : client_{config.base_url},
      header_lines_{"Authorization: Bearer " + config.api_key.reveal() +
                    "\r\nContent-Type: application/x-www-form-urlencoded\r\nStripe-Version: " +
                    std::string{api_version} + "\r\n"},
      pause_{pause} {}

stripe_api::~stripe_api() = default;

void stripe_api::call(runtime::io_thread& thread, stripe_request what,
                      std::function<void(stripe_result)> done) {
  if (++*calls_ > most_calls) {
    --*calls_;
    boost::asio::post(thread.context(), [done = std::move(done)] { done(busy()); });
    return;
  }
  auto x = std::make_shared<running>(*this, thread, std::move(what), std::move(done));
  boost::asio::post(thread.context(), [x] { x->start(); });
}

}  // namespace kgents::billing
