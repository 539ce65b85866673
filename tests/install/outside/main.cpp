// An outside program: loads a plugin, makes its model and asks it for logits.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <interplay/core/model.h>
#include <interplay/core/plugin.h>

int main(int, char** arguments) {
  interplay::load_plugin(arguments[1]);
  const auto model = interplay::make_model(interplay::Config::parse("{name: outside}"), interplay::Schema());
  interplay::Features x;
  x.rows = 2;
  fmt::print("models: {}\nlogits: {}\n", fmt::join(interplay::models().names(), " "),
             model->forward(x).logit.sizes()[0]);
}
