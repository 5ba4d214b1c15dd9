// What check-awaits refuses: the temporary is an aggregate.
task<outcome> answer(aspect_call& c) {
  const auto said = co_await say(c, c.text("message"), {});
  co_return said;
}
