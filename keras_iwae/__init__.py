from keras_iwae.model import IWAE
