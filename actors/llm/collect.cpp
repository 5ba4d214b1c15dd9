#include "actors/llm/collect.hpp"

#include <boost/asio/post.hpp>
#include <limits>
#include <utility>

#include "actors/llm/delta_text.hpp"

namespace kgents::llm {

namespace {

/// A stream that keeps what it reads. The owner's handle is this object; the provider's stream is
/// part of it.
class collector final : public stream {
public:
  collector(size_t max_bytes, std::function<void(collect_result)> then)
      : max_bytes_{max_bytes}, then_{std::move(then)} {}

  void start(provider& from, runtime::io_thread& thread, prompt ask) {
    answer_ = from.start(thread, std::move(ask),
                         {[this](std::string text) { add(text); },
                          [this](completion x) {
                            finish(collected{std::move(text_), std::move(x)});
                          },
                          [this](failure x) { finish(std::move(x)); }});
    answer_->grant(std::numeric_limits<uint32_t>::max());
  }

  void grant(uint32_t) override {}  // bounded by bytes instead

private:
  void add(const std::string& text) {
    const auto head = utf8_head(text, max_bytes_ - text_.size());
    text_ += head;
    if (head.size() == text.size())
      return;
    word_counter words;
    words.add(text_);
    completion end{"length", {0, 2 * words.words, true}, {}};
    finish(collected{std::move(text_), std::move(end)});
  }

  // The last thing done here: `then` may destroy this.
  void finish(collect_result x) {
    answer_.reset();
    const auto then = std::move(then_);
    then(std::move(x));
  }

  size_t max_bytes_;
  std::function<void(collect_result)> then_;
  std::string text_;
  std::unique_ptr<stream> answer_;
};

}  // namespace

std::unique_ptr<stream> collect(provider& from, runtime::io_thread& thread, prompt ask,
                                size_t max_bytes, std::function<void(collect_result)> then) {
  auto out = std::make_unique<collector>(max_bytes, std::move(then));
  out->start(from, thread, std::move(ask));
  return out;
}

void post_collect(std::shared_ptr<provider> from, runtime::io_thread& thread, prompt ask,
                  size_t max_bytes, std::function<void(collect_result)> then) {
  boost::asio::post(thread.context(), [from = std::move(from), &thread, ask = std::move(ask),
                                       max_bytes, then = std::move(then)]() mutable {
    auto self = std::make_shared<std::unique_ptr<stream>>();
    // The answer owns itself through its own callback, until that is called.
    *self = collect(*from, thread, std::move(ask), max_bytes,
                    [self, from, then = std::move(then)](collect_result x) {
                      const auto keep = std::move(*self);
                      then(std::move(x));
                    });
  });
}

}  // namespace kgents::llm
