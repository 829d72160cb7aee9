"""The policy language: rules, conditions, approval trees and their evaluation. Pure."""
