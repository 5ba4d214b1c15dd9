#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "actors/llm/answer_decoder.hpp"
#include "actors/llm/delta_text.hpp"
#include "actors/llm/http_stream_client.hpp"
#include "actors/llm/provider.hpp"
#include "actors/llm/sse_decoder.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/timer_wheel.hpp"

namespace kgents::llm {

/// The largest answer of a provider that does not stream.
constexpr size_t max_document_bytes = 8 * 1024 * 1024;

/// After the model has given its reason to stop, this long for the usage and the end of the body;
/// then done without.
constexpr std::chrono::milliseconds max_tail_wait{2'000};

/// What an answer needs of its provider.
struct answer_setup {
  std::string provider;
  std::string model;
  timeouts limits;
  size_t max_text_bytes;  ///< then the answer ends with "length"
  uint32_t tokens_in;     ///< the estimate, should the provider report no usage
};

/// One answer over HTTP: the events of `http_stream_client` through `answer_decoder` and
/// `delta_text` to a sink, under credit and the four deadlines. All on one I/O thread; kept alive
/// by what is under way, silent after `close`.
class http_answer final : public http_stream_client::listener,
                          public std::enable_shared_from_this<http_answer> {
public:
  http_answer(runtime::io_thread& thread, answer_setup setup,
              std::unique_ptr<answer_decoder> decoder, sink out);

  void start(http_url url, std::shared_ptr<boost::asio::ssl::context> tls, std::string request);
  void grant(uint32_t n);
  void close();

private:
  using clock = runtime::timer_wheel::clock;
  enum class phase { connecting, waiting, streaming, tail, ended };
  enum class body_kind { unknown, events, document };

  void on_connected() override;
  void on_header(const response_header& header) override;
  void on_body(std::string_view bytes, bool last) override;
  void on_fault(http_fault fault) override;

  void schedule_pump();
  void pump();
  /// One step of decoding; false: bytes must be read first.
  [[nodiscard]] bool decode_one();
  [[nodiscard]] bool identify_body();
  void apply(decoded x);
  void body_ended();
  void read_more();

  void enter(phase next);
  void watch();
  void quiet_too_long();
  [[nodiscard]] std::chrono::milliseconds patience() const noexcept;

  void fail_later(error_type type, std::string_view what);
  void finish();
  void fail_now(failure x);
  [[nodiscard]] failure about(error_type type, std::string_view what) const;

  runtime::io_thread& thread_;
  answer_setup setup_;
  std::unique_ptr<answer_decoder> decoder_;
  sink out_;
  std::shared_ptr<http_stream_client> client_;

  phase phase_ = phase::connecting;
  body_kind kind_ = body_kind::unknown;
  sse_decoder events_;
  std::string document_;
  delta_text text_;
  std::optional<failure> failure_;  // told once the text before it is
  word_counter words_out_;
  bool any_text_ = false;
  bool header_seen_ = false;
  bool reading_ = false;
  bool body_over_ = false;
  bool over_ = false;  // the answer is complete

  uint32_t credit_ = 0;
  bool starved_ = true;  // decoding waits for credit: the reader's time, not the provider's
  bool pump_scheduled_ = false;
  bool pumping_ = false;

  clock::time_point quiet_since_{};
  runtime::wheel_timer quiet_timer_;
  runtime::wheel_timer whole_timer_;
};

}  // namespace kgents::llm
