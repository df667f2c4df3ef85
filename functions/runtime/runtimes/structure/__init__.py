"""Structural checks of model files, made before a library reads them: the libraries do not check indices and sizes.

Each module is pure: it takes bytes or a parsed document, and raises `Fault` when the file contradicts itself. The
checks cover every value that XGBoost 3.0 to 3.4 (src/tree, src/gbm, src/data/cat_container.cc) and LightGBM 4
(src/io/tree.cpp, src/boosting/gbdt_model_text.cpp) index by.
"""
