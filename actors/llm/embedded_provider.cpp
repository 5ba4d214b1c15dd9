#include "actors/llm/embedded_provider.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "actors/llm/delta_text.hpp"
#include "actors/llm/embedded_text.hpp"
#include "actors/persona/modes.hpp"

namespace kgents::llm {

namespace {

/// A turn of the event loop delivers at most this many deltas of one answer, so that its neighbours
/// get theirs.
constexpr int max_deltas_per_turn = 64;

constexpr std::string_view paragraph_break = "\n\n";

/// How far a prefix covers an answer.
struct position {
  size_t chunk = 0;
  size_t byte = 0;        // within that chunk
  bool new_part = false;  // nothing of this answer is in the prefix, but something else is
};

std::optional<position> position_behind(const std::vector<std::string>& chunks,
                                        std::string_view prefix) {
  for (size_t i = 0; i < chunks.size(); ++i) {
    const std::string_view chunk = chunks[i];
    if (prefix.size() < chunk.size()) {
      if (!chunk.starts_with(prefix))
        return std::nullopt;
      return position{i, prefix.size()};
    }
    if (!prefix.starts_with(chunk))
      return std::nullopt;
    prefix.remove_prefix(chunk.size());
  }
  return prefix.empty() ? std::optional{position{chunks.size()}} : std::nullopt;
}

position find_position(const std::vector<std::string>& chunks, std::string_view prefix) {
  if (const auto x = position_behind(chunks, prefix))
    return *x;
  // Behind another model's text this answer may have begun as a new paragraph, and been cut itself.
  for (size_t at = prefix.find(paragraph_break); at != prefix.npos;
       at = prefix.find(paragraph_break, at + 1))
    if (const auto x = position_behind(chunks, prefix.substr(at + paragraph_break.size())))
      if (x->chunk > 0 || x->byte > 0)
        return *x;
  return {0, 0, true};
}

uint32_t words_of(const prompt& ask) {
  word_counter words;
  words.add(ask.system);
  for (const auto& x : ask.messages) {
    words.inside = false;
    words.add(x.content);
  }
  return words.words;
}

/// All on one I/O thread; kept alive by what is posted, silent after `close`.
class embedded_answering : public std::enable_shared_from_this<embedded_answering> {
public:
  embedded_answering(runtime::io_thread& thread, prompt ask, sink out, uint32_t tokens_per_second)
      : thread_{thread}, out_{std::move(out)} {
    if (tokens_per_second > 0)
      interval_ = std::chrono::nanoseconds{std::chrono::seconds{1}} / tokens_per_second;
    const auto mode = persona::parse_mode(ask.mode).value_or(persona::mode::reflect);
    const auto text = ask.messages.empty() ? std::string_view{} : ask.messages.back().content;
    const auto history = std::max<size_t>(ask.messages.size(), 1) - 1;
    chunks_ = embedded_answer(text, mode, ask.deep, static_cast<uint32_t>(history));
    at_ = find_position(chunks_, ask.prefix);
    end_.finish_reason = "stop";
    if (chunks_.size() > ask.max_tokens) {
      chunks_.resize(ask.max_tokens);
      end_.finish_reason = "length";
    }
    end_.tokens = {words_of(ask), static_cast<uint32_t>(chunks_.size()), false};
    end_.model = "embedded";
    timer_.on_fire([this] { pump(); });
  }

  void grant(uint32_t n) {
    credit_ += std::min(n, std::numeric_limits<uint32_t>::max() - credit_);
    schedule();
  }

  void close() {
    over_ = true;
    timer_.disarm();
  }

  void schedule() {
    if (posted_ || pumping_ || over_)
      return;
    posted_ = true;
    boost::asio::post(thread_.context(), [self = shared_from_this()] {
      self->posted_ = false;
      self->pump();
    });
  }

private:
  using clock = runtime::timer_wheel::clock;

  void pump() {
    const auto self = shared_from_this();
    pumping_ = true;
    const auto more = deliver();
    pumping_ = false;
    if (more)
      schedule();
  }

  // Whether there is more to deliver at once.
  bool deliver() {
    const auto now = interval_ > interval_.zero() ? clock::now() : clock::time_point{};
    // Chunks that nobody had credit for are not made up for later.
    if (std::exchange(starved_, false))
      due_ = std::max(due_, now);
    for (int n = 0; !over_; ++n) {
      if (at_.chunk >= chunks_.size()) {
        over_ = true;
        out_.done(std::move(end_));
        return false;
      }
      if (credit_ == 0) {
        starved_ = true;
        return false;
      }
      if (due_ > now) {
        thread_.wheel().arm(timer_, due_ - now, now);
        return false;
      }
      if (n == max_deltas_per_turn)
        return true;
      --credit_;
      due_ += interval_;
      out_.delta(next());
    }
    return false;
  }

  std::string next() {
    auto text = std::exchange(chunks_[at_.chunk], {});
    text.erase(0, at_.byte);
    if (at_.new_part)
      text.insert(0, paragraph_break);
    at_ = {at_.chunk + 1};
    return text;
  }

  runtime::io_thread& thread_;
  sink out_;
  std::chrono::nanoseconds interval_{0};
  std::vector<std::string> chunks_;
  completion end_;
  position at_;
  uint32_t credit_ = 0;
  bool starved_ = true;
  bool posted_ = false;
  bool pumping_ = false;
  bool over_ = false;
  clock::time_point due_{};
  runtime::wheel_timer timer_;
};

class embedded_stream final : public stream {
public:
  explicit embedded_stream(std::shared_ptr<embedded_answering> x) : answering_{std::move(x)} {}
  ~embedded_stream() override { answering_->close(); }
  void grant(uint32_t n) override { answering_->grant(n); }

private:
  std::shared_ptr<embedded_answering> answering_;
};

class embedded_provider final : public provider {
public:
  explicit embedded_provider(uint32_t tokens_per_second) : tokens_per_second_{tokens_per_second} {}

  std::string_view name() const noexcept override { return "embedded"; }

  std::unique_ptr<stream> start(runtime::io_thread& thread, prompt ask, sink out) override {
    auto x = std::make_shared<embedded_answering>(thread, std::move(ask), std::move(out),
                                                  tokens_per_second_);
    x->schedule();  // an answer that its prefix covers ends without any credit
    return std::make_unique<embedded_stream>(std::move(x));
  }

private:
  uint32_t tokens_per_second_;
};

}  // namespace

std::shared_ptr<provider> make_embedded_provider(uint32_t tokens_per_second) {
  return std::make_shared<embedded_provider>(tokens_per_second);
}

}  // namespace kgents::llm
