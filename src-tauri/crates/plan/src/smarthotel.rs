//! The SmartHotel sample.
