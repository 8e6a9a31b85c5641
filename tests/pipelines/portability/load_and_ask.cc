// Asks an exported model without Python: load_and_ask DIRECTORY K [ITEM BEHAVIOR]...
//
// Events are given oldest first. Prints one line for each answer, item and score with a tab
// between them, best first.

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"

namespace {

using tensorflow::Tensor;
using tensorflow::tstring;

void StopUnlessOk(const tensorflow::Status& status) {
  if (status.ok()) return;
  std::cerr << status << std::endl;
  std::exit(1);
}

Tensor Row(const std::vector<std::string>& words) {
  Tensor row(tensorflow::DT_STRING, {1, static_cast<int64_t>(words.size())});
  for (size_t i = 0; i < words.size(); ++i) row.matrix<tstring>()(0, i) = words[i];
  return row;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    std::cerr << "load_and_ask DIRECTORY K [ITEM BEHAVIOR]..." << std::endl;
    return 2;
  }
  std::vector<std::string> items, behaviors;
  for (int i = 3; i < argc; i += 2) {
    items.push_back(argv[i]);
    behaviors.push_back(argv[i + 1]);
  }
  Tensor k(static_cast<int32_t>(std::atoi(argv[2])));
  Tensor exclude_seen(false);

  tensorflow::SavedModelBundle model;
  StopUnlessOk(tensorflow::LoadSavedModel({}, {}, argv[1], {"serve"}, &model));
  const auto& signature = model.GetSignatures().at("recommend");
  const auto in = [&](const char* name) { return signature.inputs().at(name).name(); };
  const auto out = [&](const char* name) { return signature.outputs().at(name).name(); };
  std::vector<Tensor> answer;
  StopUnlessOk(model.session->Run({{in("items"), Row(items)},
                                   {in("behaviors"), Row(behaviors)},
                                   {in("k"), k},
                                   {in("exclude_seen"), exclude_seen}},
                                  {out("items"), out("scores")}, {}, &answer));
  const auto names = answer[0].matrix<tstring>();
  const auto scores = answer[1].matrix<float>();
  for (int64_t i = 0; i < names.dimension(1); ++i) {
    std::printf("%s\t%.9g\n", names(0, i).c_str(), scores(0, i));
  }
  return 0;
}
